"""What separates two cells in time, multiply-adds, memory or parameters, number by number."""

from collections.abc import Iterable, Mapping

from reports.layout import CellValue, Column, Table

_SHOWN = {"parameters": ("M", 1e6), "bytes": ("MB", 1e6), "MACs": ("GMACs", 1e9)}
"""How units of records are shown, and by how much their numbers are divided."""

Row = Mapping[str, str | float | Mapping[str, str | int] | None]


def cost_differences(first: str, second: str, rows: Iterable[Row]) -> Table:
    """A row per number: those of both cells, their difference and their ratio with intervals.

    A row has what `bench.comparison.CostDifference.row` gives; rows may be of several probes.
    """
    return Table(
        title=f"{second} against {first}",
        columns=(
            Column(name="Probe"),
            Column(name="Number"),
            Column(name="Unit"),
            Column(name="First", digits=0, show_as=_text),
            Column(name="Second", digits=0, show_as=_text),
            Column(name="Difference", digits=0, show_as=_signed),
            Column(name="Interval"),
            Column(name="Ratio", digits=0, show_as=_text),
            Column(name="Its interval"),
            Column(name="p"),
            Column(name="Second is"),
        ),
        rows=tuple(map(_cells, rows)),
        caption=(
            f"First: {first}. Second: {second}.",
            "Ratio: the second by the first. Medians over images are called so; other numbers of images are means.",
            "Intervals (95 %) and p are from resampled images, the same for both. A verdict without them is exact.",
            "They say nothing of the training seed, nor of what else the machine did while it measured one of the two.",
            "Of twenty numbers that do not differ, one is expected to seem to.",
        ),
    )


def _cells(row: Row) -> tuple[CellValue, ...]:
    unit, scale = _SHOWN.get(str(row["unit"]), (str(row["unit"]), 1.0))
    first, second, difference = (_number(row, name, scale) for name in ("first", "second", "difference"))
    low, high = _number(row, "low", scale), _number(row, "high", scale)
    ratio, ratio_low, ratio_high = (_number(row, name, 1.0) for name in ("ratio", "ratio_low", "ratio_high"))
    p = _number(row, "p", 1.0)
    return (
        str(row["probe"]),
        _label(row),
        unit,
        first,
        second,
        difference,
        "" if low is None or high is None else f"[{_signed(low)}, {_signed(high)}]",
        ratio,
        "" if ratio_low is None or ratio_high is None else f"[{_text(ratio_low)}, {_text(ratio_high)}]",
        "" if p is None else f"{p:.2g}",
        str(row["verdict"]),
    )


def _number(row: Row, name: str, scale: float) -> float | None:
    number = row[name]
    return number / scale if isinstance(number, int | float) else None


def _label(row: Row) -> str:
    """Name and place, such as `latency_ms_median (phase head)`."""
    at = row["at"]
    place = ", ".join(f"{axis} {place}" for axis, place in at.items()) if isinstance(at, Mapping) else ""
    return f"{row['name']} ({place})" if place else str(row["name"])


def _text(number: float) -> str:
    """Three digits, but never less than all before the point."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _signed(number: float) -> str:
    return f"{'+' if number > 0 else ''}{_text(number)}"
