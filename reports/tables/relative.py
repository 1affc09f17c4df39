"""The relative columns of Table 4: what a head saves and gains beside RefineMask++, ours and the paper's."""

from dataclasses import dataclass

from reports import paper
from reports.cells import Number, source_of
from reports.layout import CellValue, Column, Table

REFERENCE = "refine_mask"


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """A column of Table 4, and how its values are compared: what is saved of a cost, or gained of a rate."""

    column: str
    heading: str
    is_rate: bool = False


_COMPARED = (
    _Compared(column="Params (M)", heading="Params saved %"),
    _Compared(column="GMACs (paper: GFLOPs)", heading="GMACs saved %"),
    _Compared(column="FPS, subtracted", heading="FPS gained %, subtracted", is_rate=True),
    _Compared(column="FPS, isolated", heading="FPS gained %, isolated", is_rate=True),
)


def relative(heads: Table) -> Table:
    """Compare the rows of Table 4 with RefineMask++'s, as far as that was measured."""
    names = [column.name for column in heads.columns]
    label = paper.HEADS[REFERENCE]
    reference = next((row for row in heads.rows if row[0] == label), None)
    columns, values = [Column(name="Head")], []
    for compared in _COMPARED:
        if compared.column not in names or reference is None:
            continue
        place = names.index(compared.column)
        if not isinstance(reference[place], float):
            continue
        columns.append(Column(name=compared.heading, digits=0, best="highest"))
        values.append([_change(row[place], reference[place], compared) for row in heads.rows])
        if names[place + 1 : place + 2] == ["paper"]:
            columns.append(Column(name="paper", digits=0))
            values.append([_change(row[place + 1], reference[place + 1], compared) for row in heads.rows])
    return Table(
        title=f"Table 4, relative to {label}",
        columns=tuple(columns),
        rows=tuple(
            (row[0], *(of_column[number] for of_column in values)) for number, row in enumerate(heads.rows) if values
        ),
        caption=(
            f"saved: 100 (1 - head / {label}); gained: 100 (head / {label} - 1). The paper's percentages are of its "
            "printed, rounded numbers.",
        ),
    )


def _change(ours: CellValue, reference: CellValue, compared: _Compared) -> CellValue:
    """The change in percent; a state in words stays what it is."""
    if not isinstance(ours, float) or not isinstance(reference, float):
        return ours if isinstance(ours, str) else None
    ratio = ours / reference
    return Number(100 * (ratio - 1) if compared.is_rate else 100 * (1 - ratio), source=source_of(ours))
