"""Lists of cells, each the material of one table of the paper. A recipe is a function without parameters.

Its first docstring line is its description. Any importable `package.module:function` that returns cells is a recipe.
Imports no torch.
"""

import dataclasses
import importlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from bench import catalog
from bench.files import checksum
from bench.model import weights_folder
from bench.planning.demo import demo
from bench.planning.frozen import frozen
from bench.planning.plan import Cell
from bench.planning.published import published
from bench.planning.subjects import HEADS as HEADS
from bench.planning.subjects import among, lacking, one_of
from bench.planning.subjects import cells as cells
from bench.planning.subjects import subject as subject
from bench.record import Subject

log = logging.getLogger(__name__)

Recipe = Callable[[], list[Cell]]

GRID_SIDES = (14, 28, 56, 112, 224)
VIEWS = ("glyphs_1500", "glyphs_3000", "glyphs")
"""Schedules that differ in how many images a head was trained on."""

MODULES = ("mlp", "conv", "deform_conv", "sfm", "dense_sfm")


def main() -> list[Cell]:
    """Table 3: four heads on one detector, two backbones, two schedules."""
    return cells("main", _table3(), ("params", "flops", "speed", "accuracy"))


def heads() -> list[Cell]:
    """Table 4: the cost of the heads alone, of the paper's and of all others."""
    probes = ("params", "flops", "region_cost", "head_cost", "time_budget")
    return cells("heads", [subject(head) for head in every_head()], probes)


def modules() -> list[Cell]:
    """Table 5: which processing module should EffSeg use?"""
    subjects = [subject("effseg", module=module) for module in MODULES]
    return cells("modules", subjects, ("params", "flops", "speed", "accuracy"))


def overfit() -> list[Cell]:
    """Can every head learn? The small preset on four real images."""
    subjects = [subject(head, backbone="small_fpn", preset="small") for head in every_head()]
    return cells("overfit", subjects, ("overfit",))


def oracle() -> list[Cell]:
    """The ladder: what each mask resolution would reach with perfect masks, and heads on perfect boxes."""
    rungs = [f"grid{side}_{kind}" for side in GRID_SIDES for kind in ("binary", "soft")]
    ladder = cells("oracle", [Subject(head=rung, weights="none") for rung in rungs], ("ceiling",))
    trained = [subject(head) for head in HEADS]
    return [*ladder, *cells("oracle", trained, ("accuracy", "accuracy_true_boxes"))]


def test_dev() -> list[Cell]:
    """Result files for COCO's test server, which alone can score test-dev."""
    return cells("test_dev", _table3(), ("server_files",))


def sparsity() -> list[Cell]:
    """Table 2, measured: what each backend can do, its multiply-adds, bytes and latency per stage."""
    return cells("sparsity", backends(), ("backend_cost", "backend_speed", "memory"))


def break_even() -> list[Cell]:
    """Time, multiply-adds and bytes beside Dense, by active fraction and by number of regions."""
    naive = [of for of in kernels_of_sps() if of.kernel == "reference"]
    return cells("break_even", [of for of in [*backends(), *naive] if of.backend != "dense"], ("break_even",))


def coco_mini() -> list[Cell]:
    """Real photographs: four heads trained on 495 listed images, on detected and on true boxes."""
    return _listed("coco_mini", "small_fpn")


def coco_mini_r50() -> list[Cell]:
    """The same with ResNet-50, started from ImageNet's weights."""
    return _listed("coco_mini_r50", "r50_fpn")


def own(weights: Path | None = None) -> list[Cell]:
    """Somebody's own data: the heads that `train own` made, on detected and on true boxes, with their cost."""
    subjects = [subject(head, backbone="small_fpn", preset="small", schedule="own") for head in HEADS]
    if weights is not None:
        subjects = among(
            weights,
            lambda each: each.schedule == "own" and each.head in HEADS,
            what="head that was trained by the schedule own",
            command="train own",
        )
    return [
        *cells("own", one_of(subjects), ("box_accuracy",)),
        *cells("own", subjects, ("params", "accuracy")),
        *cells("own", subjects, ("accuracy_true_boxes",)),
        *cells("own", subjects, ("speed",), images=10),
    ]


def policies() -> list[Cell]:
    """Where should EffSeg refine? Five rules at the same budget, on true boxes."""
    return cells("policies", [embedded("effseg")], ("policies",))


def budget() -> list[Cell]:
    """What does accuracy cost? EffSeg with more and fewer refined cells, on true boxes."""
    return cells("budget", [embedded("effseg")], ("budget",))


def views() -> list[Cell]:
    """Do heads differ in what they reach, or in how soon? Class-agnostic ones after 1,500, 3,000 and 6,000 images."""
    subjects = [
        msgspec.structs.replace(
            embedded(head, preset="small" if head == "effseg" else "small_agnostic"), schedule=schedule
        )
        for schedule in VIEWS
        for head in HEADS
    ]
    return cells("views", subjects, ("accuracy_true_boxes",))


def kernels() -> list[Cell]:
    """The kernels of SPS for a CPU beside the naive method and beside Dense; `--backends sps:triton` on a GPU."""
    return cells("kernels", [of for of in kernels_of_sps() if of.kernel != "triton"], ("kernels",))


def certify() -> list[Cell]:
    """Does every sparse backend, with every kernel, compute what a dense network computes?"""
    return cells("certify", [*backends(), *kernels_of_sps()], ("certificate",))


RECIPES: dict[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        demo,
        main,
        heads,
        modules,
        oracle,
        coco_mini,
        coco_mini_r50,
        own,
        frozen,
        published,
        policies,
        budget,
        views,
        sparsity,
        break_even,
        kernels,
        certify,
        test_dev,
        overfit,
    )
}


def every_head() -> list[str]:
    """The heads of the paper, then all others that there are: what needs no trained weights takes these."""
    return [*HEADS, *(head for head in catalog.names("heads") if head not in HEADS)]


def backends() -> list[Subject]:
    """Every backend by itself, without a head; `sps` with the best kernel that can run."""
    return [Subject(backend=backend, weights="none") for backend in catalog.names("sparsity")]


def kernels_of_sps() -> list[Subject]:
    """The backend `sps` with each of its kernels by name."""
    return [Subject(backend="sps", kernel=kernel, weights="none") for kernel in catalog.names("sparsity._kernels")]


def _table3() -> list[Subject]:
    rows = (("r50_fpn", "12ep"), ("r50_fpn", "24ep"), ("r50_defenc", "12ep"))
    return [subject(head, backbone=backbone, schedule=schedule) for backbone, schedule in rows for head in HEADS]


def _listed(recipe: str, backbone: str) -> list[Cell]:
    subjects = [subject(head, backbone=backbone, preset="small", schedule="coco_mini") for head in HEADS]
    return [
        *cells(recipe, one_of(subjects), ("box_accuracy",)),
        *cells(recipe, subjects, ("params", "accuracy")),
        *cells(recipe, subjects, ("accuracy_true_boxes",)),
    ]


def embedded(head: str, *, module: str = "sfm", preset: str = "small", seed: int = 0) -> Subject:
    """A head with the weights that the project ships, trained on the embedded data."""
    found = subject(head, backbone="small_fpn", preset=preset, schedule="glyphs", module=module)
    return msgspec.structs.replace(found, seed=seed)


def load(name: str, weights: Path | None = None) -> list[Cell]:
    """The cells of a recipe, by its name or as `package.module:function`. Raises ValueError where there is no recipe.

    The recipes `demo`, `own`, `frozen` and `published` are about what is among the weights, where there are any. A
    recipe of the project leaves out what needs a head, module or backend whose file was taken away, and says so.
    """
    module_name, colon, function = name.partition(":")
    if not colon:
        catalog.check("recipe", name, RECIPES)
        of_weights = {of.__name__: of for of in (demo, own, frozen, published)}
        return _those_there(name, of_weights[name](weights) if name in of_weights else RECIPES[name]())
    try:
        recipe = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"The recipe {name!r} cannot be imported: {error}. A recipe is package.module:function. "
            "Check the spelling and that Python finds the package (PYTHONPATH)."
        ) from error
    made = recipe()
    if not (isinstance(made, list) and made and all(isinstance(cell, Cell) for cell in made)):
        raise ValueError(
            f"The recipe {name!r} did not return cells. A recipe returns a list of bench.planning.plan.Cell. "
            "Make it with bench.planning.recipes.cells(name, subjects, probes)."
        )
    return made


def _those_there(name: str, cells: Sequence[Cell]) -> list[Cell]:
    found = {of: lacking(of) for of in dict.fromkeys(cell.subject for cell in cells)}
    absent = [found[cell.subject] for cell in cells]
    for each in dict.fromkeys(each for each in absent if each is not None):
        log.warning(
            "The recipe %s leaves out %d of its %d cells: there is no %s %s.",
            name,
            absent.count(each),
            len(cells),
            *each,
        )
    return [cell for cell, each in zip(cells, absent, strict=True) if each is None]


def with_weights(cells: Iterable[Cell], weights: Path | None) -> list[Cell]:
    """Fill in whose weights are measured: those of a file or folder, or None for random ones, which know no schedule.

    Subjects that differ only in their schedule become one when weights are random. Those that have no weights stay as
    they are. Raises ValueError where a file does not exist, or one file would have to fit several subjects.
    """
    found = list(cells)
    if weights is None:
        return list(dict.fromkeys(_with_subject(cell, schedule="none", weights="random") for cell in found))
    needing = {cell.subject: cell.subject.name for cell in found if cell.subject.weights != "none"}
    if len(set(needing.values())) > 1 and weights.is_file():
        raise ValueError(
            f"One file of weights cannot fit {len(set(needing.values()))} subjects: "
            f"{', '.join(sorted(set(needing.values())))}. Weights belong to one head, backbone and schedule. Narrow "
            "the recipe to one head, backbone and module, or give a folder with a file for each."
        )
    checksums = {of: checksum(*weights_folder.files_of(weights, of)) for of in needing}
    return [
        _with_subject(cell, schedule=cell.subject.schedule, weights=checksums[cell.subject])
        if cell.subject in checksums
        else cell
        for cell in found
    ]


def _with_subject(cell: Cell, *, schedule: str, weights: str) -> Cell:
    if cell.subject.weights == "none":
        return cell
    subject = msgspec.structs.replace(cell.subject, schedule=schedule, weights=weights)
    return dataclasses.replace(cell, subject=subject)
