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
    if len(names) == 1:
        return build(subject, num_classes, task)
    heads = {name: msgspec.structs.replace(subject, head=name) for name in names}
    return side_by_side(heads, num_classes, task, detector_of=msgspec.structs.replace(subject, head=HEADS[0]))


def side_by_side(
    heads: Mapping[str, Subject], num_classes: int, task: Task | None = None, *, detector_of: Subject
) -> Segmenter:
    """Build one detector, that of a subject, with the heads of others on it, by names without a dot: it can learn."""
    model = build(detector_of, num_classes, task)
    joint = Joint({name: build(subject, num_classes, task).get_submodule("head") for name, subject in heads.items()})
    model.head = joint  # type: ignore[assignment]  # its stages are by head
    return model


def alone(model: Segmenter, name: str) -> Segmenter:
    """One of the heads that learn at once, with the detector that they share: it can predict. Nothing is copied."""
    joint = cast(Joint, model.get_submodule("head"))
    return Segmenter(
        backbone=model.backbone,
        neck=model.neck,
        detector=model.detector,
        head=cast(MaskHead, joint.heads[name]),
    )


class Joint(nn.Module):
    """Heads by name, each with its own losses as `<head>.<loss>`; their sum trains what is below them.

    In training, a region is a matched query with one class, so that heads with and without masks per class take the
    same regions. Every head draws the same random numbers as it would alone.
    """

    class_specific = False

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)

    def forward(
        self, pyramid: Pyramid, detections: Detections, generator: torch.Generator | None = None
    ) -> dict[str, list[Stage]]:
        """Predict the stages of every head."""
        return {name: head(pyramid, detections, _copy(generator)) for name, head in self.heads.items()}

    def loss(self, stages: Mapping[str, Sequence[Stage]], targets: Targets) -> dict[str, Tensor]:
        """Give the losses of all heads."""
        return {
            f"{name}.{loss}": value
            for name, head in self.heads.items()
            for loss, value in cast(MaskHead, head).loss(stages[name], targets).items()
        }


def _copy(generator: torch.Generator | None) -> torch.Generator | None:
    """A generator of its own that goes on from the same state; None stands for torch's global one."""
    if generator is None:
        return None
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy
