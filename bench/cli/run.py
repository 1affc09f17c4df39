"""`run`: measure what a recipe lacks, then print its tables."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from bench import catalog
from bench.cli import train
from bench.cli.data_options import DataOptions
from bench.cli.output import COMPLETE, INCOMPLETE, check_folder, json_file, json_lines, print_table
from bench.cli.outputs import check_outputs
from bench.cli.progress import Progress, tell_data, tell_lacking
from bench.contract import Context, Dtype
from bench.planning import narrow, plan, recipes, session
from bench.planning.frozen import frozen
from bench.planning.plan import Outcome, Step
from bench.planning.session import Selection
from bench.record import encode
from bench.store import Store

_Part = Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: all of them)")]
_Instead = Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: the recipe's)")]
_File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")]
_Count = Annotated[int | None, arg(metavar="N", help_behavior_hint="(optional)")]


@dataclass(frozen=True, kw_only=True)
class Run(DataOptions):
    """Measure the missing cells of a recipe, then print its table."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """A name that `list recipes` shows, or any importable package.module:function."""
    heads: _Part = ()
    """Only these heads of the recipe."""
    backbones: _Part = ()
    """Only these backbones of the recipe."""
    backends: _Instead = ()
    """EffSeg on these backends instead, such as: dense sps:native."""
    modules: _Part = ()
    """Only these processing modules of the recipe."""
    probes: _Instead = ()
    """These probes instead of the recipe's."""
    lvis: _File = None
    """LVIS v0.5 annotations; without, those of the data set where it has some."""
    images: _Count = None
    """Number of images, first by image id."""
    device: str = "cpu"
    """Where to measure: cpu, cuda, cuda:1."""
    dtype: Dtype = "float32"
    """Number type of weights and images."""
    weights: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(optional)")] = None
    """Trained weights: the file of one subject, or a folder of `train` with a file for each; random ones without."""
    detections: Annotated[str, arg(metavar="SOURCE")] = "detector"
    """Whose boxes the heads get: detector, ground_truth, or a JSON file of detections in COCO's format."""
    results: Path = Path("results")
    """Where records are kept."""
    force: bool = False
    """Measure again what is in the store; old records stay, the newest counts."""
    train: bool = False
    """Train the heads of the recipe first: what the folder --weights (weights/ without) lacks. Hours."""
    dry_run: bool = False
    """Print the plan and measure nothing."""
    regions: _Count = None
    """Number of regions for nominal costs and sparse measurements; the paper's without."""
    budget: _Count = None
    """Number of refined cells for sparse measurements; the paper's 10,000 without."""
    json: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(optional)")] = None
    """Also write every record as a line of JSON to this file; - is standard output."""

    def __call__(self) -> int:
        """Plan, measure, print."""
        return self.run()[0]

    def run(self) -> tuple[int, list[Outcome]]:
        """Do it, and give the exit code with all that was found."""
        if self.train and not self.dry_run:
            return self._train_and_run()
        context, store = self._context(), Store(self.results)
        selection = Selection(
            heads=self.heads,
            backbones=self.backbones,
            modules=self.modules,
            backends=self.backends,
            probes=self.probes,
        )
        planned = session.prepare(self.recipe, context, store, selection, force=self.force)
        tell_data(planned)
        tell_lacking(planned, asked_for=self.probes)
        steps = planned.steps
        progress = Progress(steps, store)
        progress.tell_plan(each=self.dry_run)
        if self.dry_run:
            return COMPLETE, []
        outcomes = self._measure(steps, planned.context, store, progress)
        self._show(outcomes)
        progress.tell_sum(self.results)
        failed = any(outcome.record.error for outcome in outcomes)
        return INCOMPLETE if failed or len(outcomes) < len(steps) else COMPLETE, outcomes

    def _train_and_run(self) -> tuple[int, list[Outcome]]:
        """Make the weights of every schedule in the recipe, then measure with these."""
        from bench.training.schedule import SCHEDULES

        if self.recipe == frozen.__name__:
            raise ValueError(
                f"--train was given for the recipe {self.recipe}. Its heads are trained on a detector that only you "
                f"can choose. Train them first: run_bench.py train {train.HEADS_ON_FROZEN} --weights PATH."
            )
        folder = self.weights or Path("weights")
        chosen = narrow.select(
            recipes.load(self.recipe), heads=self.heads, backbones=self.backbones, modules=self.modules
        )
        subjects = {cell.subject: None for cell in chosen if cell.subject.weights != "none"}
        for name, backbone in dict.fromkeys((subject.schedule, subject.backbone or "") for subject in subjects):
            catalog.check("schedule", name, SCHEDULES)
            alike = [subject for subject in subjects if (subject.schedule, subject.backbone) == (name, backbone)]
            schedule = SCHEDULES[name].on(backbone)
            code = train.make(schedule, alike, folder, data=self.data_set(), device=self.device)
            if code != COMPLETE:
                return code, []
        return replace(self, train=False, weights=folder).run()

    def _measure(self, steps: Sequence[Step], context: Context, store: Store, progress: Progress) -> list[Outcome]:
        """Run the steps, telling and writing each as it finishes; Ctrl-C ends the run, not the program."""
        outcomes: list[Outcome] = []
        # What libraries print while measuring (pycocotools does) must not get between the records.
        with json_lines(self.json) as lines, contextlib.redirect_stdout(sys.stderr):
            try:
                progress.begin()
                for outcome in plan.run(steps, context, store):
                    outcomes.append(outcome)
                    progress.finish(outcome)
                    if lines is not None:
                        lines.write(encode(outcome.record).decode() + "\n")
                        lines.flush()
                    progress.begin()
            except KeyboardInterrupt:
                progress.interrupted()
            except plan.NotStored as stop:
                progress.not_stored(stop)
                if lines is not None:
                    lines.write(encode(stop.record).decode() + "\n")
        return outcomes

    def _show(self, outcomes: Sequence[Outcome]) -> None:
        """The tables of the recipe: the paper's with ours beside, its own, or just all values."""
        from reports.choice import tables_of
        from reports.renderers.terminal import terminal
        from reports.select.measured import failures, measured

        entries = [outcome.entry for outcome in outcomes]
        for shown in tables_of(self.recipe, measured(entries), failures(entries)):
            print_table(terminal(shown), stderr=self.json == "-")

    def _context(self) -> Context:
        """The context of all cells. Raises ValueError for paths and devices that are not there."""
        data = self.data_set()
        if self.lvis is not None and not self.lvis.is_file():
            raise ValueError(f"--lvis {self.lvis} is not there. It must be a file in LVIS's format. Check the path.")
        if self.detections not in ("detector", "ground_truth") and not Path(self.detections).is_file():
            raise ValueError(
                f"--detections {self.detections} is not there. Boxes come from detector, ground_truth or a JSON file. "
                "Check the path."
            )
        check_folder("--results", self.results)
        of_data = [] if data is None else [data.train.annotations, data.val.annotations, data.lvis]
        check_outputs(self, {"--json": json_file(self.json)}, also=of_data)
        if self.images is not None and self.images < 1:
            raise ValueError(f"--images is {self.images}. It must be at least 1. Leave it out for the usual number.")
        for option, number in (("--regions", self.regions), ("--budget", self.budget)):
            if number is not None and number < 0:
                raise ValueError(f"{option} is {number}. It must not be negative. Leave it out for the paper's number.")
        check_device(self.device)
        return Context(
            data=data,
            lvis=self.lvis or (data.lvis if data else None),
            images=self.images,
            device=self.device,
            dtype=self.dtype,
            weights=self.weights,
            detections=self.detections,
            regions=self.regions,
            budget=self.budget,
        )


def check_device(name: str) -> None:
    """Raise ValueError for a device that torch does not know or see."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"--device {name} is no device of torch. It must be one that torch knows. Use cpu or cuda."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"--device {name} is not there: torch sees {torch.cuda.device_count()} CUDA devices. A GPU, its driver and "
            "a CUDA build of torch are needed. Use --device cpu, or see: run_bench.py doctor."
        )
