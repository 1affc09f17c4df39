"""The command line: one dataclass per verb, a printer around `recipes`, `plan`, `doctor` and `reports`.

The only place that knows all packages. What imports torch or pandas is imported inside the verbs, so that the help
appears at once. Standard output carries results, standard error everything else.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeAlias

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, Positional, arg, subcommand

from bench import catalog, plan, recipes, session
from bench.plan import Cell, Context, Dtype, Outcome, Step
from bench.record import encode
from bench.session import Selection
from bench.store import Store

if TYPE_CHECKING:
    import reports.layout

COMPLETE, INCOMPLETE, USAGE = 0, 1, 2

_DESCRIPTION = "Fair measurements of fine-grained instance-segmentation heads and their sparse backends."

_Part = Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: all of them)")]
_Instead = Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: the recipe's)")]
_Directory = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(optional)")]
_File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")]
_Count = Annotated[int | None, arg(metavar="N", help_behavior_hint="(optional)")]
Kind = Literal["heads", "backends", "modules", "probes", "recipes", "datasets"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Measure the missing cells of a recipe, then print its table."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """main, heads, modules, overfit, or any importable package.module:function."""
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
    coco: _Directory = None
    """COCO in the standard layout: DIR/val2017/*.jpg, DIR/annotations/instances_val2017.json."""
    lvis: _File = None
    """LVIS v0.5 annotations."""
    images: _Count = None
    """Number of images, first by image id."""
    device: str = "cpu"
    """Where to measure: cpu, cuda, cuda:1."""
    dtype: Dtype = "float32"
    """Number type of weights and images."""
    weights: _File = None
    """Trained weights of one subject; random ones without."""
    detections: Annotated[str, arg(metavar="SOURCE")] = "detector"
    """Whose boxes the heads get: detector, ground_truth, or a JSON file of detections in COCO's format."""
    results: Path = Path("results")
    """Where records are kept."""
    force: bool = False
    """Measure again what is in the store; old records stay, the newest counts."""
    dry_run: bool = False
    """Print the plan and measure nothing."""
    regions: _Count = None
    """Number of regions for nominal costs; the paper's without."""
    json: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(optional)")] = None
    """Also write every record as a line of JSON to this file; - is standard output."""

    def __call__(self) -> int:
        """Plan, measure, print."""
        context, store = self._context(), Store(self.results)
        selection = Selection(
            heads=self.heads,
            backbones=self.backbones,
            modules=self.modules,
            backends=self.backends,
            probes=self.probes,
        )
        planned = session.prepare(self.recipe, context, store, selection, force=self.force)
        _tell_lacking(planned.left_out, asked_for=self.probes)
        steps = planned.steps
        _tell_plan(steps, each=self.dry_run)
        if self.dry_run:
            return COMPLETE
        outcomes = self._measure(steps, context, store)
        self._show(outcomes)
        failed = any(outcome.record.error for outcome in outcomes)
        return INCOMPLETE if failed or len(outcomes) < len(steps) else COMPLETE

    def _measure(self, steps: Sequence[Step], context: Context, store: Store) -> list[Outcome]:
        """Run the steps, telling and writing each as it finishes; Ctrl-C ends the run, not the program."""
        outcomes: list[Outcome] = []
        # What libraries print while measuring (pycocotools does) must not get between the records.
        with _json_lines(self.json) as lines, contextlib.redirect_stdout(sys.stderr):
            try:
                for outcome in plan.run(steps, context, store):
                    outcomes.append(outcome)
                    _tell_outcome(outcome, f"[{len(outcomes)}/{len(steps)}]")
                    if lines is not None:
                        lines.write(encode(outcome.record).decode() + "\n")
                        lines.flush()
            except KeyboardInterrupt:
                _tell(f"Stopped: {len(outcomes)} of {len(steps)} cells are in the store. Run again to go on.")
        return outcomes

    def _show(self, outcomes: Sequence[Outcome]) -> None:
        """The table of the recipe: the paper's with ours beside, or just our values."""
        from reports.frame import frame
        from reports.layout import terminal
        from reports.tables import TABLES, table
        from reports.values import values

        measured = frame(outcome.record for outcome in outcomes)
        shown = table(self.recipe, measured) if self.recipe in TABLES else values(self.recipe, measured)
        if shown.has_numbers:
            _print_table(terminal(shown), stderr=self.json == "-")

    def _context(self) -> Context:
        """The context of all cells. Raises ValueError for paths and devices that are not there."""
        import torch

        for option, path, is_there in (
            ("--coco", self.coco, self.coco is None or self.coco.is_dir()),
            ("--lvis", self.lvis, self.lvis is None or self.lvis.is_file()),
        ):
            if not is_there:
                raise ValueError(f"{option} {path} is not there. Its layout is in the help. Check the path.")
        if self.detections not in ("detector", "ground_truth") and not Path(self.detections).is_file():
            raise ValueError(
                f"--detections {self.detections} is not there. Boxes come from detector, ground_truth or a JSON file. "
                "Check the path."
            )
        if self.images is not None and self.images < 1:
            raise ValueError(f"--images is {self.images}. It must be at least 1. Leave it out for the usual number.")
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise ValueError(f"--device {self.device} is no device of torch. Use cpu or cuda.") from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(
                f"--device {self.device} is not there: torch sees {torch.cuda.device_count()} CUDA devices. A GPU, its "
                "driver and a CUDA build of torch are needed. Use --device cpu, or see: run_bench.py doctor."
            )
        return Context(
            coco=self.coco,
            lvis=self.lvis,
            images=self.images,
            device=self.device,
            dtype=self.dtype,
            weights=self.weights,
            detections=self.detections,
            regions=self.regions,
        )


@dataclass(frozen=True, kw_only=True)
class List:
    """What can be named: plug-ins, recipes with their cells, data sets."""

    kind: Positional[Kind | None] = None
    """Which names; all of them without."""

    def __call__(self) -> int:
        """Print the names with one line each."""
        described = {
            "heads": catalog.plugins("heads"),
            "backends": catalog.plugins("sparsity") | {f"sps:{name}": line for name, line in catalog.kernels().items()},
            "modules": catalog.plugins("heads._modules"),
            "probes": catalog.plugins("bench.probes"),
            "recipes": {name: (recipe.__doc__ or "").partition("\n")[0] for name, recipe in recipes.RECIPES.items()},
            "datasets": catalog.DATASETS,
        }
        console = Console(highlight=False, soft_wrap=True)
        for kind, names in described.items():
            if self.kind not in (None, kind):
                continue
            console.print(f"[bold]{kind}[/bold]")
            for name, line in names.items():
                console.print(f"  {name:<16} {escape(line)}")
                if self.kind == "recipes":
                    for cell in recipes.with_weights(recipes.load(name), None):
                        console.print(f"    {cell}")
        return COMPLETE


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """What can be measured here, what is missing, how to get it."""

    coco: _Directory = None
    """A COCO directory to look at."""

    def __call__(self) -> int:
        """Print every finding with its remedy."""
        from bench import doctor

        console = Console(highlight=False, soft_wrap=True)
        for finding in doctor.examine(self.coco):
            mark = "[green]ok     [/green]" if finding.good else "[yellow]missing[/yellow]"
            console.print(f"{mark} {finding.name:<16} {escape(finding.detail)}")
            if not finding.good:
                console.print(f"{'':<8}{'to do:':<16} {escape(finding.remedy)}")
        return COMPLETE


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make the tables of all records."""

    results: Path = Path("results")
    """Where records are kept."""
    out: Path = Path("report")
    """Where to write tables.md."""

    def __call__(self) -> int:
        """Print the tables and write them as Markdown."""
        from reports.layout import terminal

        for shown in self.write():
            _print_table(terminal(shown), stderr=False)
        return COMPLETE

    def write(self) -> "list[reports.layout.Table]":
        """Write the tables as Markdown and give them. Raises ValueError where nothing was measured."""
        from reports.frame import load
        from reports.layout import document
        from reports.tables import TABLES, table

        frame = load(self.results)
        if frame.empty:
            raise ValueError(
                f"There is no record with values in {self.results}. A report needs measurements. "
                "Make some, for example: run_bench.py run heads --probes params flops."
            )
        tables = [shown for shown in (table(recipe, frame) for recipe in TABLES) if shown.has_numbers]
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "tables.md"
        path.write_text(document(tables), encoding="utf-8")
        _tell(f"Written: {path}")
        return tables


Verb: TypeAlias = (
    Annotated[Run, subcommand("run")]
    | Annotated[List, subcommand("list")]
    | Annotated[Doctor, subcommand("doctor")]
    | Annotated[Report, subcommand("report")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and give its exit code: 0 complete, 1 some cells failed, 2 usage.

    Without arguments, measure what needs neither images nor weights and report it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_time=False, show_path=False)],
    )
    try:
        if not given:
            code = Run(recipe="heads", probes=("params", "flops"))()
            Report().write()
            return code
        verb = tyro.cli(Verb, config=(FlagCreatePairsOff,), prog="run_bench.py", description=_DESCRIPTION, args=given)
        return verb()
    except ValueError as error:
        _tell(f"[red]error:[/red] {escape(str(error))}")
        return USAGE


def _tell(text: str) -> None:
    """Print to standard error, as rich markup."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def _tell_lacking(lacking: Sequence[Cell], *, asked_for: Sequence[str]) -> None:
    """Say which probes are left out for want of images. Raises ValueError where one was asked for by name."""
    names = list(dict.fromkeys(cell.probe for cell in lacking))
    for name in names:
        if name in asked_for:
            raise ValueError(
                f"The probe {name} needs images and there are none. It reads COCO val2017. "
                "Give its directory: --coco DIR."
            )
    if names:
        _tell(f"Left out: {', '.join(names)} ({len(lacking)} cells), which need images: --coco DIR.")


def _tell_plan(steps: Sequence[Step], *, each: bool) -> None:
    in_store = sum(step.found is not None for step in steps)
    _tell(f"{len(steps)} cells: {in_store} in store, {len(steps) - in_store} to do")
    for step in steps if each else ():
        _tell(f"  {'in store' if step.found else 'to do':<8} {step.cell}")


def _tell_outcome(outcome: Outcome, count: str) -> None:
    record = outcome.record
    if record.error is not None:
        what = f"[red]failed[/red]: {escape(record.error.type)}: {escape(record.error.message)} ({outcome.entry.path})"
    elif outcome.measured:
        what = f"{record.seconds:.1f} s"
    else:
        what = "in store"
    _tell(f"{escape(count)} {outcome.cell}  {what}")


def _print_table(shown: Table, *, stderr: bool) -> None:
    """Print a table in full: rich would cut off what is wider than the terminal, or than 80 where there is none."""
    console = Console(stderr=stderr)
    needed = Measurement.get(console, console.options.update(max_width=1000), shown).maximum
    if console.width < needed:
        console = Console(stderr=stderr, width=needed)
    console.print(shown)


@contextlib.contextmanager
def _json_lines(target: str | None) -> Iterator[TextIO | None]:
    """Where records go as lines: standard output for `-`, a file, or nowhere."""
    if target is None:
        yield None
    elif target == "-":
        yield sys.stdout
    else:
        with Path(target).open("w", encoding="utf-8") as file:
            yield file
