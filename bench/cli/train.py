"""`train`: make the weights that a folder lacks."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from bench import catalog, ranks
from bench.cli.data_options import DataOptions
from bench.cli.output import COMPLETE, INCOMPLETE, tell
from bench.data.layout import DataSet
from bench.planning.recipes import HEADS
from bench.record import Subject

if TYPE_CHECKING:
    from bench.training.schedule import Schedule

HEADS_ON_FROZEN = "heads-on-frozen"
"""The schedule that needs weights: every number of epochs is one of its own in the names of files, as `frozen_1ep`."""

_Names = Annotated[tuple[str, ...], arg(metavar="NAMES")]


@dataclass(frozen=True, kw_only=True)
class Train(DataOptions):
    """Train what a folder of weights lacks; an interrupted training goes on, torchrun's processes share the images."""

    schedule: Annotated[Positional[str], arg(metavar="SCHEDULE")]
    """glyphs: the embedded data, every head on one frozen detector. coco_mini: the same on 495 images of COCO, from the
    shipped weights on. 12ep, 24ep: the paper's, on COCO or your data. own: your data on a laptop, from the shipped
    weights on, with what it needs chosen from the data. heads-on-frozen: all heads side by side, on the detector of
    --weights, which stays as it is."""
    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: weights; heads-on-frozen: frozen)")
    ] = None
    """The folder."""
    weights: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(heads-on-frozen)")] = None
    """Whose detector serves, for the schedule heads-on-frozen: a file of imported weights, or a folder of them, and
    then Mask R-CNN++'s, or the first by name."""
    epochs: Annotated[int | None, arg(metavar="N", help_behavior_hint="(heads-on-frozen: 1)")] = None
    """How many times every picture is shown, for the schedule heads-on-frozen."""
    heads: _Names = HEADS
    """Which heads; none trains the common detector alone."""
    modules: _Names = ("sfm",)
    """EffSeg with these processing modules."""
    seeds: Annotated[tuple[int, ...], arg(metavar="N")] = (0,)
    """Each head with these seeds."""
    backbone: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the schedule's)")] = None
    """Another backbone than the schedule's."""
    preset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the schedule's)")] = None
    """Another preset of the heads than the schedule's, such as small_agnostic."""
    views: Annotated[int | None, arg(metavar="N", help_behavior_hint="(own: chosen from the data)")] = None
    """How many pictures the detector is shown, for the schedule own; each head is shown half as many."""
    input_size: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(own: chosen from the data)")] = None
    """The long side to which pictures are resized, for the schedule own."""
    start: Annotated[Path | None, arg(name="from", metavar="PATH", help_behavior_hint="(own: the shipped weights)")] = (
        None
    )
    """A file or folder of weights to start from, for the schedule own: whatever of it fits."""
    device: str = "cpu"
    """Where to train: cpu, cuda."""
    workers: Annotated[int, arg(metavar="N")] = 0
    """Processes that read images ahead, for every process of torchrun."""

    def __call__(self) -> int:
        """Train, telling each file as it is there."""
        schedule = self._schedule()
        if self.backbone is not None:
            catalog.check("backbone", self.backbone, catalog.BACKBONES)
            schedule = schedule.on(self.backbone)
        for head in self.heads:
            catalog.check("head", head, catalog.names("heads"))
        for module in self.modules:
            catalog.check("processing module", module, catalog.names("heads._modules"))
        subjects = [
            schedule.subject(head, module=module, preset=self.preset, seed=seed)
            for seed in self.seeds
            for head in self.heads
            for module in (self.modules if head == "effseg" else ("",))
        ]
        out = self.out or Path("frozen" if schedule.given is not None else "weights")
        code = make(
            schedule,
            subjects,
            out,
            data=self.data_set(),
            device=self.device,
            workers=self.workers,
        )
        recipe = {"own": "own", HEADS_ON_FROZEN: "frozen"}.get(self.schedule)
        if code == COMPLETE and recipe is not None:
            data = f" {self.said()}" if self.said() else ""
            tell(f"Next: run_bench.py run {recipe}{data} --weights {shlex.quote(str(out))}")
        return code

    def _schedule(self) -> "Schedule":
        """The schedule by its name, with what is asked for. Raises ValueError for options of another one."""
        from bench.training.schedule import SCHEDULES, heads_on_frozen, own_schedule

        catalog.check("schedule", self.schedule, [*SCHEDULES, HEADS_ON_FROZEN])
        options = {
            "own": {"--views": self.views, "--input-size": self.input_size, "--from": self.start},
            HEADS_ON_FROZEN: {"--weights": self.weights, "--epochs": self.epochs},
        }
        for schedule, given in options.items():
            for option, value in given.items():
                if value is not None and self.schedule != schedule:
                    raise ValueError(
                        f"{option} {value} was given for {self.schedule}. It is not for that schedule. Leave it out, "
                        f"or take the schedule {schedule}."
                    )
        if self.schedule == "own":
            return own_schedule(views=self.views, input_size=self.input_size, start=self.start)
        if self.schedule != HEADS_ON_FROZEN:
            return SCHEDULES[self.schedule]
        if self.weights is None:
            raise ValueError(
                "heads-on-frozen was given no --weights. Heads learn on a detector that is there. Give a file of "
                "imported weights, or a folder of them: see run_bench.py import."
            )
        if self.backbone is not None:
            raise ValueError(
                f"--backbone {self.backbone} was given for {HEADS_ON_FROZEN}. The backbone is that of the detector. "
                "Leave it out, or give other --weights."
            )
        return heads_on_frozen(self.weights, 1 if self.epochs is None else self.epochs)


def make(
    schedule: "Schedule",
    subjects: Sequence[Subject],
    folder: Path,
    *,
    data: DataSet | None,
    device: str,
    workers: int = 0,
) -> int:
    """Train what a folder lacks, telling each file as it is there; give the exit code."""
    from bench.training import TrainingStopped
    from bench.training.job import TrainingSetup

    setup = TrainingSetup(
        folder=folder,
        data=data,
        device=ranks.device(device),
        workers=workers,
        command=shlex.join(["python", "run_bench.py", *sys.argv[1:]]),
        tell=lambda text: tell(text) if ranks.rank() == 0 else None,
    )
    try:
        for path, trained in setup.train(schedule, subjects):
            tell(f"{'Trained' if trained else 'In the folder'}: {path}")
    except (TrainingStopped, ranks.RankFailed) as error:
        tell(str(error), mark="stopped:")
        return INCOMPLETE
    return COMPLETE
