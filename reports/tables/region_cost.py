"""What a head costs at equal numbers of regions: multiply-adds and time of it alone."""

from collections.abc import Iterator

from reports.layout import Column, Table
from reports.select.comparable import Comparable
from reports.select.field import Field
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import first_seeds

_COSTS = (
    Field(heading="GMACs", name="macs_head", digits=2, best="lowest", scale=1e9),
    Field(heading="ms", name="latency_ms_median", at={"phase": "head"}, digits=0, best="lowest"),
)


def region_cost(found: Comparable) -> Table:
    """A row per head, of its first seed, and a column for each cost at each number of regions. Of one machine."""
    shown = first_seeds(found.shown)
    numbers = numbers_of_regions(found)
    columns = [
        Column(name=f"{field.heading} at {number}", digits=field.digits, best=field.best)
        for field in _COSTS
        for number in numbers
    ]
    return Table(
        title=f"Costs at {_listed(numbers)} regions" if numbers else "Costs at equal regions",
        columns=(Column(name="Head"), *columns),
        rows=tuple(
            (name, *(field.number(each, regions=number) for field in _COSTS for number in numbers))
            for name, each in zip(names([each.subject for each in shown]), shown, strict=True)
        ),
        caption=(*_reading(shown), *found.sentences()),
    )


def numbers_of_regions(found: Comparable) -> list[int]:
    """At how many regions the costs were measured, the fewest first."""
    return sorted({int(number) for each in found.shown for number in each.axes("regions")})


def _reading(shown: list[Measured]) -> Iterator[str]:
    for each in shown[:1]:
        yield (
            "The head alone on one image, the same random regions for all heads, whether a head has a mask for every "
            "class or one for all. What it does once for an image is in every number."
        )
        yield (
            "GMACs: as in the costs above, with pasting. ms: median from pyramid and regions to the last stage, "
            f"without scoring and pasting, on {each.machine}; point at it for the quartiles of its repetitions."
        )
        yield f"Protocol of {each.source.words()}."


def _listed(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
