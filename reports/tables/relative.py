"""The relative columns of Table 4: what a head saves and gains beside RefineMask++, ours and the paper's."""

from collections.abc import Sequence

from bench.record import Record
from reports import paper
from reports.cells import Number, source_of
from reports.layout import CellValue, Column, Table
from reports.select.measured import Measured
from reports.tables.of_paper import lines
from reports.tables.ours import FPS_ISOLATED, FPS_SUBTRACTED, GMACS, PARAMS, Ours

REFERENCE = "refine_mask"

_COMPARED = {
    "Params saved %": PARAMS,
    "GMACs saved %": GMACS,
    "FPS gained %, subtracted": FPS_SUBTRACTED,
    "FPS gained %, isolated": FPS_ISOLATED,
}
"""By heading. What is best when highest is a rate, of which is said what is gained; of costs, what is saved."""


def relative(found: Sequence[Measured], failures: Sequence[Record] = ()) -> Table:
    """Compare the rows of Table 4 with RefineMask++'s, as far as that was measured."""
    rows = lines("heads", found, failures)
    reference = next(line for line in rows if line.row.head == REFERENCE)
    label = paper.HEADS[REFERENCE]
    columns = [Column(name="Head")]
    cells: list[list[CellValue]] = [[*line.texts(["Head"])] for line in rows]
    for heading, ours in _COMPARED.items():
        beside, published = reference.number(ours), ours.theirs(reference.row)
        if beside is None:
            continue
        columns.append(Column(name=heading, digits=0, best="highest"))
        columns += [Column(name="paper", digits=0)] * (published is not None)
        for line, of_line in zip(rows, cells, strict=True):
            number = line.number(ours)
            of_line.append(line.state(ours) or None if number is None else _change(ours, number, beside))
            if published is not None:
                theirs = ours.theirs(line.row)
                of_line.append(None if theirs is None else _change(ours, theirs, published))
    return Table(
        title=f"Table 4, relative to {label}",
        columns=tuple(columns),
        rows=tuple(tuple(of_line) for of_line in cells) if columns[1:] else (),
        caption=(
            f"saved: 100 (1 - head / {label}); gained: 100 (head / {label} - 1). The paper's percentages are of its "
            "printed, rounded numbers.",
        ),
    )


def _change(ours: Ours, number: float, reference: float) -> Number:
    """The change in percent."""
    ratio = number / reference
    return Number(100 * (ratio - 1) if ours.best == "highest" else 100 * (1 - ratio), source=source_of(number))
