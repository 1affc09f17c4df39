"""A table of everything that was measured, for recipes that the paper has no table for: values by subject."""

from collections import Counter
from collections.abc import Iterable, Iterator

from bench.names import AXES
from bench.record import Value
from reports.layout import Column, Table
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names


def values(title: str, found: Iterable[Measured]) -> Table:
    """One row per value at its place, one column per subject, named by what tells the subjects apart.

    An axis that is not the project's own is one like all others; the caption names it.
    """
    known = list(found)
    choices = [comparable(known, probe) for probe in dict.fromkeys(each.probe for each in known)]
    shown = [each for choice in choices for each in choice.shown]
    rows = {(each.probe, _words(value)): value for each in shown for value in each.record.values}
    subjects = list(dict.fromkeys(each.subject for each in shown))
    numbers = {
        (each.probe, _words(value), each.subject): each.number(value.name, **value.at)
        for each in shown
        for value in each.record.values
    }
    heads = [Column(name="Probe"), Column(name="Value"), Column(name="Unit")]
    return Table(
        title=title,
        columns=(*heads, *(Column(name=name, digits=0, show_as=_text) for name in names(subjects))),
        rows=tuple(
            (probe, words, value.unit, *(numbers.get((probe, words, subject)) for subject in subjects))
            for (probe, words), value in rows.items()
        ),
        caption=(
            "Rounded to four digits; the records have all of them, and the protocol of every value.",
            *_unknown_axes(rows.values()),
            *(sentence for choice in choices for sentence in choice.sentences()),
        ),
    )


def _words(value: Value) -> str:
    """Name and place, such as "ms (stage 1, operation sfm)"."""
    place = ", ".join(f"{axis} {place}" for axis, place in value.at.items())
    return f"{value.name} ({place})" if place else value.name


def _unknown_axes(found: Iterable[Value]) -> Iterator[str]:
    counts = Counter(axis for value in found for axis in value.at if axis not in AXES)
    if counts:
        told = (f"{axis} ({count} {'value' if count == 1 else 'values'})" for axis, count in counts.items())
        yield f"On an axis that no other table knows: {', '.join(told)}."


def _text(value: float) -> str:
    """Four digits, with G and M for what comes in thousands of millions and millions."""
    for limit, suffix in ((1e9, " G"), (1e6, " M")):
        if abs(value) >= limit:
            return f"{value / limit:.4g}{suffix}"
    return f"{value:.4g}"
