"""Several heads that learn at once, from the same regions: what a detector should suit that several heads share."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
import torch
from torch import Tensor, nn

from bench.model.build import build
from bench.model.segmenter import Segmenter
from bench.model.task import Task
from bench.planning.recipes import HEADS
from bench.record import Subject
from heads import Detections, MaskHead, Pyramid, Stage, Targets

_AND = "+"


def joint_name(heads: Sequence[str]) -> str:
    """Name of a subject whose heads learn at once, such as `mask_rcnn+effseg`; nothing for a detector alone."""
    return _AND.join(heads)


def build_joint(subject: Subject, num_classes: int, task: Task | None = None) -> Segmenter:
    """Build the model of a subject that may have several heads or none; only with one can it predict."""
    names = [name for name in (subject.head or "").split(_AND) if name]
    any_head = names or HEADS[:1]
    models = [build(msgspec.structs.replace(subject, head=name), num_classes, task) for name in any_head]
    model = models[0]
    if len(names) != 1:
        joint = Joint({name: each.get_submodule("head") for name, each in zip(names, models, strict=False)})
        model.head = joint  # type: ignore[assignment]  # its stages are by head: it can learn, not predict
    return model


class Joint(nn.Module):
    """Heads by name, each with its own losses as `<head>.<loss>`; their sum trains what is below them.

    In training, a region is a matched query with one class, so that heads with and without masks per class take the
    same regions.
    """

    class_specific = False

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> dict[str, list[Stage]]:
        """Predict the stages of every head."""
        return {name: head(pyramid, detections, generator) for name, head in self.heads.items()}

    def loss(self, stages: Mapping[str, Sequence[Stage]], targets: Targets) -> dict[str, Tensor]:
        """Give the losses of all heads."""
        return {
            f"{name}.{loss}": value
            for name, head in self.heads.items()
            for loss, value in cast(MaskHead, head).loss(stages[name], targets).items()
        }
