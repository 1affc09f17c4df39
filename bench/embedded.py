"""The embedded benchmark: recipes that need neither data nor weights, because the project brings both."""

from dataclasses import replace
from pathlib import Path

from bench import ranks
from bench.plan import Context

RECIPES = ("demo", "policies", "budget")
"""Recipes of heads that were trained on the embedded data."""

NUM_IMAGES = 200

SHIPPED = Path(__file__).parent / "shipped"
"""Weights trained by `train glyphs`, with a record beside each file."""


def complete(recipe: str, context: Context) -> Context:
    """Give a recipe of the embedded benchmark the shipped weights and the test images, unless it was given images.

    The images are made once, in the cache. Other recipes get what they were given. Raises ValueError where the images
    cannot be written.
    """
    if recipe not in RECIPES or context.coco is not None:
        return context
    folder = _images(context)
    return replace(
        context,
        coco=folder,
        lvis=folder / "annotations" / "glyphs_fine_val.json",
        weights=context.weights or SHIPPED,
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
