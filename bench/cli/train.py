"""`train`: make the weights that a folder lacks."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from bench import catalog, ranks
from bench.cli.output import COMPLETE, INCOMPLETE, tell
from bench.recipes import HEADS

_Names = Annotated[tuple[str, ...], arg(metavar="NAMES")]


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train what a folder of weights lacks; a training that was interrupted goes on.

    With torchrun, a step's images are dealt out to its processes: torchrun --nproc-per-node 8 run_bench.py train ...
    """

    schedule: Annotated[Positional[str], arg(metavar="SCHEDULE")]
    """glyphs: the embedded data, every head on one frozen detector. 12ep, 24ep: the paper's, on COCO."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("weights")
    """The folder."""
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
    coco: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(for 12ep, 24ep)")] = None
    """COCO in the standard layout: DIR/train2017/*.jpg, DIR/annotations/instances_train2017.json."""
    device: str = "cpu"
    """Where to train: cpu, cuda."""
    workers: Annotated[int, arg(metavar="N")] = 0
    """Processes that read images ahead, for every process of torchrun."""

    def __call__(self) -> int:
        """Train, telling each file as it is there."""
        from bench.ranks import RankFailed
        from bench.training import TrainingStopped
        from bench.training.job import Workshop
        from bench.training.schedule import SCHEDULES

        catalog.check("schedule", self.schedule, SCHEDULES)
        schedule = SCHEDULES[self.schedule]
        if self.backbone is not None:
            catalog.check("backbone", self.backbone, catalog.BACKBONES)
            schedule = schedule.on(self.backbone)
        for head in self.heads:
            catalog.check("head", head, catalog.plugins("heads"))
        for module in self.modules:
            catalog.check("processing module", module, catalog.plugins("heads._modules"))
        subjects = [
            schedule.subject(head, module=module, preset=self.preset, seed=seed)
            for seed in self.seeds
            for head in self.heads
            for module in (self.modules if head == "effseg" else ("",))
        ]
        workshop = Workshop(
            folder=self.out,
            coco=self.coco,
            device=ranks.device(self.device),
            workers=self.workers,
            command=shlex.join(["python", "run_bench.py", *sys.argv[1:]]),
        )
        try:
            for path, trained in workshop.make(schedule, subjects):
                tell(f"{'Trained' if trained else 'In the folder'}: {path}")
        except (TrainingStopped, RankFailed) as error:
            tell(f"[red]stopped:[/red] {error}")
            return INCOMPLETE
        return COMPLETE
