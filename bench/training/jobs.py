"""The trainings of a schedule, in the order in which they can be done, and the files that each makes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from bench.model import weights_folder
from bench.model.segmenter import Segmenter
from bench.model.task import Task
from bench.model.weights import DETECTOR, HEAD
from bench.record import Subject
from bench.training.choices import Choices
from bench.training.joint import build_joint, joint_name, side_by_side
from bench.training.recipe import Recipe
from bench.training.schedule import DataSource, Schedule


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: `name` is that of its directory, `parts` what of the model its files hold.

    It makes one file, of the same name, or with `heads` one for each of them: they learn side by side, and are called
    like `mask_rcnn` or `effseg-sfm`. `detector` is the file of the detector that is already there; None trains one. The
    parts start from `initial` weights, if there are. `sizes` are what the task says beside model and data.
    """

    name: str
    subject: Subject
    recipe: Recipe
    parts: tuple[str, ...]
    detector: Path | None = None
    initial: tuple[Path, ...] = ()
    heads: Mapping[str, Subject] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str | None]:
        """The stems of the files, each with the name of its head where several learn side by side."""
        if not self.heads:
            return {self.name: None}
        return {weights_folder.stem(subject): name for name, subject in self.heads.items()}

    def only(self, files: Collection[str]) -> "Job":
        """The training of some of the files alone: what a head learns does not depend on those beside it."""
        if not self.heads:
            return self
        return self.of_heads([of for of in self.heads.values() if weights_folder.stem(of) in files])

    def of_heads(self, subjects: Sequence[Subject]) -> "Job":
        """The same training with these heads side by side."""
        heads = {"-".join(filter(None, (subject.head, subject.module))): subject for subject in subjects}
        together = msgspec.structs.replace(subjects[0], head=joint_name(tuple(heads)), module=None, backend=None)
        return replace(self, name=weights_folder.stem(together), subject=together, heads=heads)

    def build(self, num_classes: int, task: Task) -> Segmenter:
        """Make the model, with its initial random weights."""
        if not self.heads:
            return build_joint(self.subject, num_classes, task)
        return side_by_side(self.heads, num_classes, task, detector_of=next(iter(self.heads.values())))


def jobs(schedule: Schedule, subjects: Sequence[Subject], source: DataSource, folder: Path) -> Iterator[Job]:
    """The trainings for some subjects, whose files lie in a folder."""
    common = weights_folder.file(folder, weights_folder.DETECTOR)
    if schedule.given is not None:
        for seed in dict.fromkeys(subject.seed for subject in subjects):
            alike = [subject for subject in subjects if subject.seed == seed]
            yield Job(
                name="",
                subject=alike[0],
                recipe=schedule.head(source),
                parts=HEAD,
                detector=common,
                sizes=schedule.given.sizes,
            ).of_heads(alike)
        return
    if schedule.detector is not None:
        yield Job(
            name=weights_folder.DETECTOR,
            subject=schedule.detector_subject,
            recipe=schedule.detector(source),
            parts=DETECTOR,
            initial=schedule.start.of_detector(schedule.detector_subject),
            sizes=sizes(source.choices),
        )
    detector = None if schedule.detector is None else common
    of_own = [
        Job(
            name=weights_folder.stem(subject),
            subject=subject,
            recipe=schedule.head(source),
            parts=(*DETECTOR, *HEAD) if detector is None else HEAD,
            detector=detector,
            initial=schedule.start.of_detector(subject) if detector is None else schedule.start.of_head(subject),
            sizes=sizes(source.choices),
        )
        for subject in subjects
    ]
    # On one detector that stays as it is they read every image once, and it is detected on once.
    together = [job for job in of_own if job.recipe.trained == "head" and not job.initial]
    for seed in dict.fromkeys(job.subject.seed for job in together):
        first, *others = (job for job in together if job.subject.seed == seed)
        yield first.of_heads([first.subject, *(job.subject for job in others)]) if others else first
    yield from (job for job in of_own if job not in together)


def sizes(choices: Choices | None) -> dict[str, Any]:
    """What the weights need to know of the choices, beside their recipe."""
    if choices is None:
        return {}
    return {
        "input_size": (choices.input_size, choices.input_size),
        "num_queries": choices.num_queries,
        "num_detections": choices.num_detections,
    }
