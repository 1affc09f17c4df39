"""Names of classes for people, from what is known about a training."""

import csv
from functools import cache
from importlib import resources

from bench.model.task import Task


def class_names(task: Task) -> tuple[str, ...]:
    """A name for every category of a task: its own, those of the embedded data or of COCO, else such as "class 7".

    Ids are taken for those of COCO or of the embedded data only where all of them are there: those of a data set of
    one's own begin at 1 as well.
    """
    if len(task.category_names) == len(task.category_ids):
        return tuple(
            name or f"class {category}" for name, category in zip(task.category_names, task.category_ids, strict=True)
        )
    for known in (_coco(), _glyphs()):
        if set(task.category_ids) == known.keys():
            return tuple(known[category] for category in task.category_ids)
    return tuple(f"class {category}" for category in task.category_ids)


@cache
def _coco() -> dict[int, str]:
    text = resources.files("bench.data").joinpath("coco_synsets.csv").read_text(encoding="ascii")
    return {int(row["id"]): row["name"] for row in csv.DictReader(text.splitlines())}


@cache
def _glyphs() -> dict[int, str]:
    from bench.glyphs.font import CATEGORIES  # with matplotlib

    return {category.id: category.name for category in CATEGORIES}
