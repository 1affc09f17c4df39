"""From a schedule to a folder of weights: what is missing is trained, what is there stays, and each has its record."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch

from bench import machine, ranks
from bench.data.layout import DataSet
from bench.detector.backbone import ResNet50, imagenet_weights, load_imagenet
from bench.files import checksum, write_whole
from bench.model import weights_folder
from bench.model.segmenter import Segmenter
from bench.model.task import Task, check_categories
from bench.model.weights import DETECTOR, HEAD, load_fitting, load_parts, save_weights, task_of
from bench.record import Code, Machine, Subject
from bench.training.checkpoint import steps
from bench.training.collectives import all_gather
from bench.training.cost import measure
from bench.training.folder import LOG
from bench.training.jobs import Job, jobs, sizes
from bench.training.joint import alone
from bench.training.log import Line, read_log
from bench.training.loop import train
from bench.training.order import Order
from bench.training.schedule import DataSource, Schedule
from bench.training.step import computes_in

_SCHEMA = 1
_NUM_POINTS = 100
_NUM_UNREADABLE = 20

log = logging.getLogger(__name__)


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights of a file came to be. `weights` is its "sha256:...", `seconds` the time of all steps.

    `curve` holds every loss as its mean over each of up to 100 parts of the training, whose last steps are `steps`.
    `machine`, `code` and `ranks` are those of the last part, where the training was interrupted. Where the training
    started from weights of another task, `fresh` are the tensors in which it did not, because they do not fit.
    `computed_in` are the numbers of the last part; what they are is not known of records without it.

    Where heads learned side by side, the losses are those of this one and of its detector, `beside` names the others,
    and the time is that of all.

    `choices` say what was chosen from the data, and why, `findings` what of it was repaired or left out.
    `num_unreadable` images could not be read; `unreadable` gives the reasons for the first of them, by their ids.
    """

    schema: int = _SCHEMA
    task: Task
    recipe: dict[str, str]
    command: str
    machine: Machine
    code: Code
    ranks: int
    seconds: float
    weights: str
    steps: list[int]
    curve: dict[str, list[float]]
    fresh: list[str] = []
    computed_in: Literal["bfloat16", "float32"] | None = None
    beside: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    num_unreadable: int = 0
    unreadable: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """The settings of all trainings. `folder` gets the weights; logs and checkpoints lie in `folder/training`.

    `data` is the data set, for the schedules that read one, `workers` the processes of every rank that
    read ahead, `command` what the records say was called. What was chosen from the data is told by `tell`.
    """

    folder: Path
    command: str
    data: DataSet | None = None
    device: str = "cpu"
    workers: int = 0
    tell: Callable[[str], None] = lambda _: None

    def train(self, schedule: Schedule, subjects: Sequence[Subject]) -> Iterator[tuple[Path, bool]]:
        """Train what the folder lacks; give every file, and whether it had to be trained.

        The detector comes first, where the schedule has a common one. Raises ValueError for data and files that do not
        fit, and TrainingStopped where a training cannot go on.
        """
        source = schedule.source(self.data)
        for sentence in _sentences(source):
            self.tell(sentence)
        if schedule.given is not None:
            check_categories(schedule.given.task.category_ids, source.category_ids, str(schedule.given.path))
            self.tell(schedule.given.sentence())
            ranks.from_first(partial(schedule.given.keep, self.folder))
        for job in jobs(schedule, subjects, source, self.folder):
            missing, begun = ranks.from_first(partial(self._state, job))
            for name in job.files.keys() - missing:
                _check_same_data(weights_folder.file(self.folder, name), source)
            if missing:
                dtype = torch.float16 if schedule.half else None
                self._train(job if begun else job.only(missing), missing, source, dtype)
            for name in job.files:
                yield weights_folder.file(self.folder, name), name in missing

    def _state(self, job: Job) -> tuple[list[str], bool]:
        """Which files of a training are not there, and whether it has begun: what is finished has its record."""
        paths = {name: weights_folder.file(self.folder, name) for name in job.files}
        return [name for name, path in paths.items() if not path.with_suffix(".json").is_file()], self._directory(
            job
        ).is_dir()

    def _directory(self, job: Job) -> Path:
        return self.folder / "training" / job.name

    def _train(self, job: Job, missing: Collection[str], source: DataSource, dtype: torch.dtype | None) -> None:
        directory = self._directory(job)
        self._check_not_read(job, missing)
        task = Task(
            subject=job.subject,
            category_ids=source.category_ids,
            data=source.content,
            detector=None if job.detector is None else checksum(job.detector),
            initial=checksum(*job.initial) if job.initial else None,
            category_names=source.category_names,
            **job.sizes,
        )
        model = job.build(len(source.category_ids), task)
        fresh: list[str] = []
        if job.detector is not None:
            load_parts(model, job.detector, DETECTOR, source.category_ids)
        if job.initial:
            started = (*DETECTOR, *HEAD) if job.detector is None else HEAD
            lacking = load_fitting(model, job.initial, started)
            fresh = [name for name in lacking if name.partition(".")[0] in job.parts]
        elif job.detector is None and isinstance(model.backbone, ResNet50):
            _start_from_imagenet(model.backbone)
        data = source.data(job.recipe.augmentation, job.subject.seed)
        model = model.to(self.device)
        if job.heads:
            self._tell_cost(job, model, Order(data=data, seed=job.subject.seed))
        train(model, data, job.recipe, directory, task, workers=self.workers)

        def keep() -> None:
            lines = read_log(directory / LOG)
            for name in missing:
                path, head = weights_folder.file(self.folder, name), job.files[name]
                of = model if head is None else alone(model, head)
                of_head = task if head is None else msgspec.structs.replace(task, subject=job.heads[head])
                save_weights(of, path, of_head, parts=job.parts, dtype=dtype)
                record = msgspec.structs.replace(
                    self._record(job, of_head, lines if head is None else [_of_head(line, head) for line in lines]),
                    weights=checksum(path),
                    fresh=fresh,
                    beside=tuple(other for other in job.heads if other != head),
                    choices=source.choices.reasons if source.choices else (),
                    findings=tuple(each.sentence() for each in source.findings),
                )
                write_whole(
                    path.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
                )
            if record.num_unreadable:
                log.warning("%s", _unreadable(record))

        all_gather(lambda: keep() if ranks.rank() == 0 else None)

    def _check_not_read(self, job: Job, files: Collection[str]) -> None:
        """Raise ValueError where a file that would be made is one that the training starts from."""
        read = [path for path in (job.detector, *job.initial) if path is not None]
        for path in (weights_folder.file(self.folder, name) for name in files):
            if path.exists() and any(path.samefile(each) for each in read):
                raise ValueError(
                    f"{path} would be written over, and the training starts from it. Weights must go elsewhere. Give "
                    "another folder."
                )

    def _tell_cost(self, job: Job, model: Segmenter, order: Order) -> None:
        """Say what the steps that are left will take, where there are any."""
        directory = self._directory(job)
        done = ranks.from_first(lambda: steps(directory)[-1:] if directory.is_dir() else [])
        begun = done[0] if done else 0
        if begun >= job.recipe.num_steps:
            return
        cost = measure(model, job.recipe, order)
        if cost is None:
            self.tell("cost: not known, because none of the first images has a region to learn on.")
            return
        for sentence in cost.sentences(job.recipe, done=begun, workers=self.workers):
            self.tell(sentence)

    def _record(self, job: Job, task: Task, lines: Sequence[Line]) -> TrainingRecord:
        unreadable = {image_id: reason for line in lines for image_id, reason in line.unreadable.items()}
        shown = [line for line in lines if line.losses]  # the others had no image that could be read
        ends = np.unique(np.linspace(0, len(shown), min(_NUM_POINTS, len(shown)) + 1).round().astype(int))
        names = sorted({name for line in shown for name in line.losses})
        return TrainingRecord(
            task=task,
            recipe=job.recipe.described(),
            command=self.command,
            machine=machine.card(),
            code=machine.code(),
            ranks=ranks.world_size(),
            computed_in=computes_in(job.recipe, torch.device(self.device)),
            seconds=sum(line.seconds for line in lines),
            weights="",
            steps=[shown[end - 1].step for end in ends[1:]],
            curve={
                name: [
                    round(float(np.mean([line.losses[name] for line in shown[first:last]])), 4)
                    for first, last in pairwise(ends)
                ]
                for name in names
            },
            num_unreadable=len(unreadable),
            unreadable=dict(islice(unreadable.items(), _NUM_UNREADABLE)),
        )


def _sentences(source: DataSource) -> list[str]:
    """What is told before a training: what of the data was repaired or left out, and what was chosen."""
    return [
        *(f"data: {each.sentence()}" for each in source.findings),
        *(() if source.choices is None else source.choices.reasons),
    ]


def _of_head(line: Line, head: str) -> Line:
    """A step as it was for one of several heads: with its losses, as if it had been alone, and the detector's."""
    losses = {
        name.removeprefix(f"{head}."): loss
        for name, loss in line.losses.items()
        if "." not in name or name.startswith(f"{head}.")
    }
    return msgspec.structs.replace(line, losses=losses)


def _check_same_data(path: Path, source: DataSource) -> None:
    """Raise ValueError where a file of weights in the folder is of other data, or for inputs of another size."""
    task = task_of((path,))
    if task is None:
        return
    wanted = {
        "data": source.content,
        **({} if source.choices is None else {"input_size": sizes(source.choices)["input_size"]}),
    }
    differing = [name for name, value in wanted.items() if getattr(task, name) != value]
    if differing:
        said = "; ".join(
            f"{name.replace('_', ' ')} {getattr(task, name)} instead of {wanted[name]}" for name in differing
        )
        raise ValueError(
            f"{path} is there, but was trained for something else: {said}. A folder holds the weights of one data set "
            "and one input size. Give another folder, or the same data and options as then."
        )


def _unreadable(record: TrainingRecord) -> str:
    first = "; ".join(f"{image_id}: {reason}" for image_id, reason in islice(record.unreadable.items(), 3))
    return (
        f"{record.num_unreadable} pictures could not be read and were left out ({first}"
        f"{'; ...' * (record.num_unreadable > 3)}); the record of the weights names them."
    )


def _start_from_imagenet(backbone: ResNet50) -> None:
    path = imagenet_weights()
    if path is None:
        raise ValueError(
            "torchvision's ImageNet weights of ResNet-50 are not on this machine; training starts from them "
            "and hardly changes them; run_bench.py doctor says how to get them."
        )
    load_imagenet(backbone, path)
