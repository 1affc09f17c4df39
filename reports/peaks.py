"""What operations need on top of the stored bytes while they run, by stage."""

from reports.backends import Comparison
from reports.cells import over
from reports.layout import CellValue, Column, Table

_OPERATIONS = {
    "linear": "linear",
    "conv": "conv",
    "sfm": "SFM",
    "deform": "deform",
    "subdivide": "subdivide",
    "halve": "halve",
}


def peaks(memory: Comparison, cost: Comparison | None) -> Table:
    """Peaks of the probe `memory`, beside the stored bytes of `backend_cost` where these are of the same point."""
    stored = {}
    if cost is not None and memory.shares_its_point_with(cost):
        stored = {measured.label: measured.values for measured in cost.backends}
    rows: list[tuple[CellValue, ...]] = []
    for stage in (1, 2, 3):
        for measured in memory.backends:
            in_bytes = [stored.get(measured.label, {}).get(f"stage{stage}_bytes")]
            in_bytes += [measured.values.get(f"stage{stage}_{operation}_peak_bytes") for operation in _OPERATIONS]
            megabytes = (over(number, 1e6) for number in in_bytes)
            rows.append((str(stage), measured.label, *megabytes))
    columns = [Column(name="Stage"), Column(name="Method"), Column(name="stored MB", digits=2, best="lowest")]
    columns += [Column(name=f"{title} peak MB", digits=2, best="lowest") for title in _OPERATIONS.values()]
    return Table(
        title="Peak memory of operations by stage",
        columns=tuple(columns),
        rows=tuple(rows),
        among=("Stage",),
        caption=(
            "Peak: what an operation needs on top of the stored bytes while it runs, its result included, in 10^6 "
            "bytes. Nothing: the method cannot do the operation. The largest one of a head counts, not their sum.",
            "Gathering copies the neighbours of all active cells, so a method that stores little may need much. Dense "
            "computes only the active cells in linear and deform, as the others do.",
            f"On {memory.machine}. {memory.protocol_sentence()}",
        ),
    )
