"""The verbs from Python: what `run`, `predict`, `evaluate` and `compare` do, without printing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contract import Context
from bench.model import weights_folder
from bench.planning import narrow, own_data, plan, recipes
from bench.planning.plan import Cell, Step
from bench.record import Record
from bench.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    import bench.accuracy.comparison
    import bench.comparison
    import bench.inference.prediction

MIN_SCORE = 0.3
"""Of the objects that are shown. The shipped heads find few below it that are there."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Part of a recipe; nothing given for a part keeps all of it. `probes` and `backends` replace the recipe's own."""

    heads: Collection[str] = ()
    backbones: Collection[str] = ()
    modules: Collection[str] = ()
    backends: Sequence[str] = ()
    probes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps of a recipe, and the cells that are left out because they need images or weights and there are none.

    `context` is what the run was given, for the embedded benchmark with its data and weights, for recipes of listed
    images with these alone. `without_weights` would mean nothing for random ones; `without_file` are the cells of
    subjects that the folder of weights lacks, by the file that it lacks. `data` says which images and objects there
    are, where any are read, and what every data set has of odd ones; what else is odd was told when they were read.
    """

    context: Context
    steps: list[Step]
    without_images: list[Cell]
    without_weights: list[Cell]
    without_file: dict[Path, list[Cell]]
    data: tuple[str, ...] = ()


def prepare(
    recipe: str | Sequence[Cell], context: Context, store: Store, selection: Selection, *, force: bool = False
) -> Plan:
    """Say what a recipe, or a list of cells, measures and what of it is in the store already; measure nothing.

    The accuracy of random weights is measured only where its probe is asked for by name. Raises ValueError for unknown
    names, weights that are not there, a folder that has none for the recipe and a COCO directory that is incomplete.
    """
    if isinstance(recipe, str):
        context = own_data.complete(recipe, context)
        recipe = recipes.load(recipe, context.weights)
    chosen = narrow.select(
        recipe,
        heads=selection.heads,
        backbones=selection.backbones,
        modules=selection.modules,
        backends=selection.backends,
        probes=selection.probes,
    )
    without_file = _without_file(chosen, context.weights)
    left_out = {cell for cells in without_file.values() for cell in cells}
    cells = recipes.with_weights([cell for cell in chosen if cell not in left_out], context.weights)
    probes = plan.load_probes(cell.probe for cell in cells)
    without_images = plan.lacking_images(cells, probes, context)
    without_weights = [cell for cell in plan.lacking_weights(cells, probes) if cell.probe not in selection.probes]
    wanted = [cell for cell in cells if cell not in without_images and cell not in without_weights]
    data: tuple[str, ...] = ()
    if context.data is not None and any(not getattr(probes[cell.probe], "OWN_FILES", False) for cell in wanted):
        from bench.data.coco import open_images

        # Before all cells: a wrong path or a damaged file is no cell's fault.
        parts = (context.data.train, context.data.val)
        files = open_images(context.data.val, lvis=context.lvis, num_images=context.images, parts=parts)
        data = (files.sentence(), *(finding.sentence() for finding in files.findings if finding.plain))
    return Plan(
        context=context,
        steps=plan.prepare(wanted, probes, context, store, force=force),
        without_images=without_images,
        without_weights=without_weights,
        without_file=without_file,
        data=data,
    )


def _without_file(cells: Sequence[Cell], weights: Path | None) -> dict[Path, list[Cell]]:
    """The cells of trained subjects whose file a folder of weights lacks, by that file."""
    if weights is None or not weights.is_dir():
        return {}
    lacking = weights_folder.lacking(weights, [cell.subject for cell in cells if cell.subject.weights != "none"])
    return {
        path: [cell for cell in cells if lacking.get(cell.subject) == path] for path in dict.fromkeys(lacking.values())
    }


def run(
    recipe: str | Sequence[Cell],
    context: Context | None = None,
    *,
    results: Path | str = "results",
    selection: Selection | None = None,
    force: bool = False,
) -> list[Record]:
    """Measure the missing cells of a recipe and give the records of all; those of cells that failed hold the error.

    `recipe` is a name as on the command line, or cells of one's own, made with `bench.planning.recipes.cells`.
    `bench.run("heads", selection=bench.Selection(probes=["params", "flops"]))` is the table of the README.
    """
    store = Store(Path(results))
    planned = prepare(recipe, context or Context(), store, selection or Selection(), force=force)
    return [outcome.record for outcome in plan.run(planned.steps, planned.context, store)]


def predict(
    image: "Path | str | Image.Image | NDArray[np.uint8]",
    *,
    head: str | None = None,
    weights: Path | str | None = None,
    device: str = "cpu",
    boxes: "Sequence[Sequence[int | float]] | NDArray[np.floating] | None" = None,
    class_ids: Sequence[int] | None = None,
    scores: Sequence[int | float] | None = None,
    min_score: int | float = MIN_SCORE,
) -> "bench.inference.prediction.Prediction":
    """Find the objects of a picture: masks, boxes, classes and scores, which show themselves in a notebook.

    `image` is a file, turned as every viewer shows it (EXIF), a Pillow image, or an array [H W 3] of uint8 in RGB.
    `weights` are a file, or a folder with a file for every head; without, those that come with the project, which know
    pictographs alone. Without `head`, it is that of the file, or EffSeg's. The model stays loaded for the next picture.
    With `boxes` (xyxy, pixels of the picture) the masks in these are found, of `class_ids` and `scores`, or what the
    detector says they are. Objects below `min_score` are left out; 0 keeps all. Raises ValueError for a picture that
    cannot be read, for weights that are not there or do not fit, and for boxes without area.
    """
    from bench.data.images import Unreadable
    from bench.inference.given_boxes import GivenBoxes
    from bench.inference.predictor import predictor

    given = None if boxes is None else GivenBoxes.of(boxes, class_ids, scores)
    model = predictor(own_data.SHIPPED if weights is None else Path(weights), head=head, device=device)
    try:
        return model(image, boxes=given, min_score=min_score)
    except Unreadable as error:
        named = image if isinstance(image, Path | str) else f"({type(image).__name__})"
        raise ValueError(
            f"The picture {named} cannot be used: {error}; expected one that Pillow opens; convert or replace it."
        ) from error


def evaluate(
    predictions: Path | str | Sequence[Mapping[str, object]],
    *,
    coco: Path | str | None = None,
    lvis: Path | str | None = None,
    images: Collection[int | str] | None = None,
    boxes: bool = False,
    class_agnostic: bool = False,
    cap: int | None = None,
    errors: bool = False,
    verify: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> Record:
    """Score COCO results, a file or what it would hold, on the images that the model was run on, and give the record.

    `boxes` asks for the AP of boxes, `class_agnostic` takes all classes for one, `cap` is how many predictions count,
    `errors` adds where AP is lost. `bench.accuracy.evaluate.evaluate` gives more: match tables, rows per class, what
    the official libraries say. Raises ValueError as that does.
    """
    from bench.accuracy.evaluate import evaluate as score  # with pycocotools, which only this needs

    return score(
        Path(predictions) if isinstance(predictions, str) else predictions,
        coco=None if coco is None else Path(coco),
        lvis=None if lvis is None else Path(lvis),
        images=images,
        boxes=boxes,
        class_agnostic=class_agnostic,
        cap=cap,
        errors=errors,
        verify=verify,
        resamples=resamples,
        seed=seed,
    ).record()


def compare(
    first: Path | str,
    second: Path | str,
    *,
    results: Path | str = "results",
    coco: Path | str | None = None,
    lvis: Path | str | None = None,
    images: Collection[int | str] | None = None,
    boxes: bool = False,
    class_agnostic: bool = False,
    cap: int | None = None,
    errors: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> "list[bench.accuracy.comparison.Difference | bench.comparison.CostDifference]":
    """What separates two cells of a store, or two results files with their annotations: a difference per number.

    Cells are named `recipe/subject/probe`; without the probe, all probes that both subjects have are compared, and
    `probe` says which a difference is of. `boxes`, `class_agnostic` and `cap` are how files are scored, as by
    `evaluate`; `errors` adds what separates where files lose AP. `bench.comparison.compare` also says what could not be
    compared, and why; ValueError is raised as there.
    """
    from bench import comparison
    from bench.accuracy.comparison import result

    scored = partial(
        result,
        results=Path(results),
        coco=None if coco is None else Path(coco),
        lvis=None if lvis is None else Path(lvis),
        images=images,
        boxes=boxes,
        class_agnostic=class_agnostic,
        cap=cap,
        errors=errors,
    )
    found = comparison.compare(
        str(first), str(second), Path(results), scored=scored, errors=errors, resamples=resamples, seed=seed
    )
    return [difference for each in found for difference in each.differences]
