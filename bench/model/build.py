"""From a subject to a model: which parts, which sizes, which weights."""

import dataclasses
import importlib
import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

import heads
from bench.catalog import BACKBONES, DETECTORS, check
from bench.contract import Context
from bench.detector.backbone import PaddedResNet50, ResNet50, SmallResNet, imagenet_weights, load_imagenet
from bench.detector.contract import Detector
from bench.detector.deform_encoder import DeformEncoder
from bench.detector.fpn import FPN, TorchvisionFPN
from bench.model import weights_folder
from bench.model.segmenter import Segmenter
from bench.model.task import Task, check_categories
from bench.model.tensors_file import copy_tensors
from bench.model.weights import read_weights, task_of
from bench.record import Subject

NUM_CLASSES = 80
CHANNELS = {"paper": 256, "small": 64}

log = logging.getLogger(__name__)


def _r50_fpn(preset: str) -> tuple[nn.Module, nn.Module]:
    backbone = ResNet50()
    return backbone, FPN(backbone.channels, CHANNELS[preset])


def _r50_defenc(preset: str) -> tuple[nn.Module, nn.Module]:
    backbone = ResNet50()
    return backbone, DeformEncoder(backbone.channels, CHANNELS[preset], source_positions=preset == "paper")


def _r50_tvfpn(preset: str) -> tuple[nn.Module, nn.Module]:
    backbone = PaddedResNet50()
    return backbone, TorchvisionFPN(backbone.channels, CHANNELS[preset])


def _small_fpn(preset: str) -> tuple[nn.Module, nn.Module]:
    backbone = SmallResNet()
    return backbone, FPN(backbone.channels, CHANNELS[preset])


_BUILDERS: dict[str, Callable[[str], tuple[nn.Module, nn.Module]]] = {
    "r50_fpn": _r50_fpn,
    "r50_defenc": _r50_defenc,
    "r50_tvfpn": _r50_tvfpn,
    "small_fpn": _small_fpn,
}


def base_preset(preset: str) -> str:
    """What a part takes that has no preset of that name: `small` for `small_agnostic`, the detector for instance."""
    return preset.partition("_")[0]


_TOGETHER = {"torchvision": "r50_tvfpn", "torchvision_v2": "r50_tvfpn"}
"""Detectors that go with one backbone alone, which no other detector goes with: their pyramids have other levels."""


def build(subject: Subject, num_classes: int = NUM_CLASSES, task: Task | None = None) -> Segmenter:
    """Build the model of a subject, initialised from its seed; under `torch.device("meta")` without any storage.

    The detector has as many queries and detections as a task says, where it does. Raises ValueError for unknown names,
    and where the subject asks a head for a part it does not have.
    """
    preset, backbone_name, head_name = subject.preset or "paper", subject.backbone or "r50_fpn", subject.head or ""
    detector_name = subject.detector or "fqdet"
    check("backbone", backbone_name, BACKBONES)
    check("detector", detector_name, DETECTORS)
    _check_together(detector_name, backbone_name)
    head = heads.head(head_name)
    # A head without this one is class-agnostic anyway.
    check("preset", preset, {*head.PRESETS, "small_agnostic"})
    base = base_preset(preset)
    config = head.PRESETS[preset if preset in head.PRESETS else base]
    for part, value in (("module", subject.module), ("backend", backend_name(subject))):
        if value is None:
            continue
        if not hasattr(config, part):
            raise ValueError(
                f"The head {head_name} has no {part} and was given {value!r}; expected none; leave it out."
            )
        config = dataclasses.replace(config, **{part: value})
    if backbone_name in _TOGETHER.values() and hasattr(config, "stretch_maps"):
        # Maps of padded images have exactly the stride of their level: nothing is rounded up that could be stretched.
        config = dataclasses.replace(config, stretch_maps=False)
    channels = CHANNELS[base]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(subject.seed)
        backbone, neck = _BUILDERS[backbone_name](base)
        kind = importlib.import_module(f"bench.detector.{detector_name}")
        sized = _sized(kind.PRESETS[base], task)
        detector: Detector = kind.build(sized, channels, num_classes)
        model = Segmenter(
            backbone=backbone,
            neck=neck,
            detector=detector,
            head=head.build(config, channels, detector.query_size, num_classes),
        )
    # A convolution follows the layout of its weights, and channels last is the one that fast kernels work in.
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def _check_together(detector: str, backbone: str) -> None:
    """Raise ValueError for a detector on a backbone whose pyramid it is not for."""
    if _TOGETHER.get(detector, backbone) == backbone and (detector in _TOGETHER or backbone not in _TOGETHER.values()):
        return
    fitting = [_TOGETHER[detector]] if detector in _TOGETHER else sorted(BACKBONES.keys() - set(_TOGETHER.values()))
    raise ValueError(
        f"The detector {detector} was given the backbone {backbone}, whose pyramid has other levels; expected "
        f"{' or '.join(fitting)}; choose that backbone, or another detector."
    )


def _sized(config: Any, task: Task | None) -> Any:
    wanted = {} if task is None else {name: getattr(task, name) for name in ("num_queries", "num_detections")}
    return dataclasses.replace(config, **{name: number for name, number in wanted.items() if number is not None})


def backend_name(subject: Subject) -> str | None:
    """Name of the subject's backend, with its kernel as on the command line: `sps`, `sps:native`; None without one.

    Raises ValueError for a kernel without a backend.
    """
    if subject.kernel is None:
        return subject.backend
    if subject.backend is None:
        raise ValueError(
            f"The subject {subject.name} has the kernel {subject.kernel} and no backend; a kernel is one of a backend; "
            "name both, as in sps:native."
        )
    return f"{subject.backend}:{subject.kernel}"


def load(subject: Subject, context: Context, category_ids: tuple[int, ...] | None = None) -> Segmenter:
    """Build the model of a subject with its weights, for inference on the device and in the dtype of the context.

    Without weights, the backbone takes torchvision's ImageNet weights where they lie on this machine and everything
    else is random; the log says so. `category_ids` are those of the data that it is for. Raises ValueError for another
    kind of file, and for weights of another architecture or of other categories, naming what differs.
    """
    if context.weights is not None:
        return load_files(weights_folder.files_of(context.weights, subject), subject, context, category_ids)
    model = build(subject)
    if isinstance(model.backbone, ResNet50):
        _start_from_imagenet(model.backbone)
    return _placed(model, context)


def load_files(
    paths: Sequence[Path], subject: Subject, context: Context, category_ids: tuple[int, ...] | None = None
) -> Segmenter:
    """Build the model of a subject with the weights of these files. Otherwise as `load`, and raises as that."""
    tensors, found = read_weights(paths)
    if category_ids is not None and found is not None:
        check_categories(found, category_ids, str(paths[-1]))
    model = build(subject, NUM_CLASSES if found is None else len(found), task_of(paths))
    copy_tensors(tensors, model.state_dict(), paths[-1])
    return _placed(model, context)


def _placed(model: Segmenter, context: Context) -> Segmenter:
    model.finishing = context.finishing
    return model.to(device=context.device, dtype=getattr(torch, context.dtype)).eval()


def outline(subject: Subject, context: Context) -> Segmenter:
    """Build the model of a subject for as many classes as its weights have, without any storage."""
    found, task = None, None
    if context.weights is not None:
        paths = weights_folder.files_of(context.weights, subject)
        found, task = read_weights(paths)[1], task_of(paths)
    with torch.device("meta"):
        return build(subject, NUM_CLASSES if found is None else len(found), task)


def _start_from_imagenet(backbone: ResNet50) -> None:
    path = imagenet_weights()
    if path is None:
        _announce("No weights: everything is random. Costs and speed are real, masks mean nothing.")
    else:
        load_imagenet(backbone, path)
        _announce("ImageNet weights in the backbone, the rest is random: masks mean nothing.")


@cache
def _announce(text: str) -> None:
    """Warn once in a run, not once in a cell."""
    log.warning(text)


def initial_weights(subject: Subject, context: Context) -> str:
    """The weights that `load` starts from, on which detections depend: "file", "imagenet" or "random"."""
    if context.weights is not None:
        return "file"
    has_resnet = (subject.backbone or "").startswith("r50")
    return "imagenet" if has_resnet and imagenet_weights() is not None else "random"
