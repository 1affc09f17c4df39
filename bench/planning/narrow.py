"""Part of a recipe: some of its heads, backbones and modules, with other probes or backends. Imports no torch."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence

import msgspec

from bench import catalog
from bench.planning.plan import Cell
from bench.record import Subject


def select(
    cells: Iterable[Cell],
    *,
    heads: Collection[str] = (),
    backbones: Collection[str] = (),
    modules: Collection[str] = (),
    backends: Sequence[str] = (),
    probes: Sequence[str] = (),
) -> list[Cell]:
    """Part of a recipe; nothing given for a part keeps all of it.

    A recipe says which heads, backbones and modules belong together: these are filters, and a subject without a
    module, or without weights, passes. A probe that the recipe lacks is for all its subjects. `backends` take the place
    of the recipe's own, as in `backends=("dense", "sps:native")`.
    Raises ValueError for an unknown name, for one that the recipe lacks, and where no cell is left.
    """
    _check_names(heads, backbones, modules, backends)
    all_cells = list(cells)
    for part, asked in (("head", heads), ("backbone", backbones), ("module", modules)):
        lacking = [name for name in asked if name not in {getattr(cell.subject, part) for cell in all_cells}]
        if lacking:
            raise ValueError(
                f"The recipe has no {part} {', '.join(lacking)}. It has {_have(all_cells, part)}. Choose among these, "
                "or another recipe; one of your own can name any."
            )
    kept = [
        cell
        for cell in all_cells
        if cell.subject.weights == "none"
        or (
            (not heads or cell.subject.head in heads)
            and (not backbones or cell.subject.backbone in backbones)
            and (not modules or cell.subject.module is None or cell.subject.module in modules)
        )
    ]
    if not kept:
        have = "; ".join(_have(all_cells, field) for field in ("head", "backbone", "module"))
        raise ValueError(f"No cell of the recipe is left. It has {have}. Choose among these, or another recipe.")
    if probes:
        order = list(dict.fromkeys(cell.subject for cell in kept))
        chosen = [cell for probe in probes for cell in _with_probe(kept, probe)]
        kept = sorted(chosen, key=lambda cell: order.index(cell.subject))
    if backends:
        kept = [
            dataclasses.replace(cell, subject=other) for cell in kept for other in _on(cell.subject, tuple(backends))
        ]
    return list(dict.fromkeys(kept))


def _check_names(
    heads: Iterable[str], backbones: Iterable[str], modules: Iterable[str], backends: Iterable[str]
) -> None:
    for head in heads:
        catalog.check("head", head, catalog.names("heads"))
    for backbone in backbones:
        catalog.check("backbone", backbone, catalog.BACKBONES)
    for module in modules:
        catalog.check("processing module", module, catalog.names("heads._modules"))
    for backend in backends:
        catalog.check_backend(backend)


def _have(cells: Iterable[Cell], field: str) -> str:
    values = dict.fromkeys(getattr(cell.subject, field) for cell in cells)
    return f"{field} " + (", ".join(str(value) for value in values if value is not None) or "none")


def _with_probe(cells: Sequence[Cell], probe: str) -> list[Cell]:
    """The cells of a probe; where the recipe has none, one for every subject."""
    own = [cell for cell in cells if cell.probe == probe]
    subjects = {cell.subject: cell for cell in cells}
    return own or [dataclasses.replace(cell, probe=probe) for cell in subjects.values()]


def _on(subject: Subject, backends: tuple[str, ...]) -> list[Subject]:
    """The subject on every backend and kernel; itself where it has no backend."""
    if subject.backend is None:
        return [subject]
    parts = [backend.partition(":") for backend in backends]
    return [msgspec.structs.replace(subject, backend=name, kernel=kernel or None) for name, _, kernel in parts]
