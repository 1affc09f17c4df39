"""Checkpoints for the tests of this folder: of any size without its memory, and shaped as the authors' are."""

import argparse
import functools
import sys
import types
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.foreign import detseg
from bench.model.build import build
from bench.record import Subject


def subject(head: str, module: str | None = None, *, neck: str = "r50_fpn", detector: str | None = None) -> Subject:
    """The subject that weights of these parts are recognised as."""
    return Subject(
        head=head,
        backend="sps" if head == "effseg" else None,
        module=module,
        backbone=neck,
        detector=detector,
        preset="paper",
        schedule="published",
    )


@functools.cache
def outline(of: Subject) -> dict[str, Tensor]:
    """The tensors of a subject's model on the device meta."""
    with torch.device("meta"):
        return build(of).state_dict()


@functools.cache
def theirs_of(of: Subject, value: float = 0.5) -> dict[str, Tensor]:
    """A subject's weights as the authors' code names them: full shapes, but one number each in memory and in files."""
    shapes = {name: tensor.shape for name, tensor in detseg.to_theirs(outline(of)).items()}
    normalisation = {f"backbone.in_norm_{name}": torch.Size([3]) for name in ("mean", "std")}
    return {name: torch.tensor([value]).expand(shape) for name, shape in (shapes | normalisation).items()}


def save_as_theirs(path: Path, state: Mapping[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what the authors' training script writes, with the objects that its options hold."""
    modules = {name: types.ModuleType(name) for name in ("detectron2", "detectron2.data", "detectron2.data.catalog")}
    metadata = type("Metadata", (types.SimpleNamespace,), {"__module__": "detectron2.data.catalog"})
    vars(modules["detectron2.data.catalog"])["Metadata"] = metadata
    options = argparse.Namespace(lr=1e-4, metadata=metadata(name="coco_2017_train", thing_classes=["person"]))
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"params": [0]}]}
    checkpoint = {"args": options, "epoch": 12, "model": OrderedDict(state), "optimizer": optimizer}
    with monkeypatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        torch.save(checkpoint | {"scheduler": {"milestones": Counter([9])}}, path)
