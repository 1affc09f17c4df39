"""What recipes are made of: the subject of a head, those that lie among weights, their cells. Imports no torch."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from bench import catalog
from bench.contract import Finishing
from bench.model import weights_folder
from bench.planning.plan import Cell
from bench.record import Subject

HEADS = ("mask_rcnn", "point_rend", "refine_mask", "effseg")
"""Those of the paper, in its order."""


def subject(
    head: str,
    *,
    backbone: str = "r50_fpn",
    preset: str = "paper",
    schedule: str = "12ep",
    module: str = "sfm",
    backend: str = "sps",
    detector: str | None = None,
) -> Subject:
    """A head on a backbone. Only EffSeg has a module and a backend; the others ignore both."""
    return Subject(
        head=head,
        backend=backend if head == "effseg" else None,
        module=module if head == "effseg" else None,
        backbone=backbone,
        detector=detector,
        preset=preset,
        schedule=schedule,
    )


def lacking(of: Subject) -> tuple[str, str] | None:
    """The first plug-in of a subject whose file is not there, as kind and name; None where all are."""
    parts = (("head", of.head, "heads"), ("module", of.module, "heads._modules"), ("backend", of.backend, "sparsity"))
    for kind, name, package in parts:
        # What has no weights, such as a grid of true masks, has only the name of a head.
        is_file = kind != "head" or of.weights != "none"
        if name is not None and is_file and name not in catalog.names(package):
            return kind, name
    return None


def one_of(subjects: Iterable[Subject]) -> list[Subject]:
    """The first subject whose files are there, for what is the same with every head; none where there is none."""
    return [of for of in subjects if lacking(of) is None][:1]


def among(weights: Path, is_wanted: Callable[[Subject], bool], *, what: str, command: str) -> list[Subject]:
    """The wanted subjects of a file or folder of weights: by schedule and seed, the paper's heads first.

    Raises ValueError where there is none, which calls them `what`; the `command` of run_bench.py makes some.
    """
    found = [each for each in weights_folder.subjects_in(weights) if is_wanted(each)]
    if not found:
        raise ValueError(
            f"{weights} has no {what}. The recipe measures these and needs one. Check the path, or make one: "
            f"run_bench.py {command}."
        )
    heads = (*HEADS, *(each.head or "" for each in found))
    return sorted(
        (msgspec.structs.replace(each, weights="random") for each in found),
        key=lambda each: (each.schedule, each.seed, heads.index(each.head or ""), weights_folder.stem(each)),
    )


def cells(
    recipe: str,
    subjects: Iterable[Subject],
    probes: Sequence[str],
    *,
    images: int | None = None,
    regions: int | None = None,
    budget: int | None = None,
    finishing: Finishing | None = None,
) -> list[Cell]:
    """Every subject with every probe, subject by subject; limits and finishing are those of `Cell`.

    `recipe` names the directory of the records.
    """
    of_recipe = partial(Cell, recipe=recipe, images=images, regions=regions, budget=budget, finishing=finishing)
    return [of_recipe(subject=subject, probe=probe) for subject in subjects for probe in probes]
