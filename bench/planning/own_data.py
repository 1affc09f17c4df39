"""Recipes whose data the project chooses: the embedded benchmark, which brings all, and listed photographs of COCO."""

from dataclasses import replace
from pathlib import Path

from bench import ranks
from bench.contract import Context
from bench.data.coco_mini import IDS, written
from bench.data.layout import Part, coco_layout

EMBEDDED = ("demo", "policies", "budget")
"""Recipes of heads that were trained on the embedded data, with its images and the shipped weights."""

LISTED = ("coco_mini", "coco_mini_r50")
"""Recipes of heads that were trained on the listed photographs."""

NUM_IMAGES = 200

SHIPPED = Path(__file__).parents[1] / "shipped"
"""Weights trained by `train glyphs`, with a record beside each file."""


def complete(recipe: str, context: Context) -> Context:
    """Give a recipe the data that the project chooses for it; other recipes get what they were given.

    A recipe of the embedded benchmark gets the shipped weights and the test images, unless it was given images. The
    images are made once, in the cache. One of listed images gets only them, where it was given more: a folder in the
    cache, with a link to them. Raises ValueError where the cache cannot be written, and as
    `bench.data.coco_mini.extract`, for val2017.
    """
    if recipe in EMBEDDED and context.data is None:
        return _with_embedded(context)
    if recipe in LISTED and context.data is not None:
        return _with_listed(context.data.val, context)
    return context


def _with_embedded(context: Context) -> Context:
    folder = _images(context)
    return replace(
        context,
        data=coco_layout(folder),
        lvis=folder / "annotations" / "glyphs_fine_val.json",
        weights=context.weights or SHIPPED,
    )


def _with_listed(part: Part, context: Context) -> Context:
    if not part.pictures.is_dir():
        raise ValueError(
            f"There is no directory {part.pictures}. Accuracy is measured on images of COCO val2017. Give the "
            "directory that holds val2017 and annotations as the data set."
        )
    parts = {"instances_val2017.json": (part.annotations, IDS.val)} | (
        {} if context.lvis is None else {"lvis.json": (context.lvis, IDS.lvis)}
    )
    folder = written(parts, context.cache_dir, part.pictures)
    return replace(
        context, data=coco_layout(folder), lvis=None if context.lvis is None else folder / "annotations" / "lvis.json"
    )


def _images(context: Context) -> Path:
    """The folder of the test images, which rank 0 makes where it is missing."""
    from bench.glyphs import VERSION, write  # imports torch

    folder = context.cache_dir / f"glyphs-{VERSION}-test-{NUM_IMAGES}"

    def make() -> None:
        # The file that is written last: where it is, the others are.
        if not (folder / "annotations" / "glyphs_fine_val.json").is_file():
            try:
                write(folder, "test", NUM_IMAGES)
            except ValueError as error:
                raise ValueError(
                    f"{error} The test images are kept in {context.cache_dir}; expected a folder that can be written; "
                    "name another with XDG_CACHE_HOME."
                ) from error

    ranks.from_first(make)
    return folder
