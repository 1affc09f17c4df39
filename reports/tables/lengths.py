"""What heads reach by how many images they were trained on: does one end up better, or is it only sooner there?"""

from collections.abc import Iterable

from reports.cells import mean
from reports.layout import CellValue, Column, Table
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.trained import MAIN_METRICS, by_seed, in_order, interval
from reports.tables.differences import claim, differences

NUM_IMAGES = {"glyphs_1500": 1_500, "glyphs_3000": 3_000, "glyphs": 6_000}
"""Images that a head is trained on by schedule."""


def tables(found: Iterable[Measured]) -> list[Table]:
    """Accuracy on true boxes by schedule and head, then what separates the heads of each schedule."""
    choice = comparable((each for each in found if each.subject.schedule in NUM_IMAGES), "accuracy_true_boxes")
    groups = {
        number: in_order(each for each in choice.shown if each.subject.schedule == schedule)
        for schedule, number in NUM_IMAGES.items()
    }
    rows: list[tuple[CellValue, ...]] = []
    for number, of_schedule in groups.items():
        for seeds in by_seed(of_schedule).values():
            cells: list[CellValue] = [f"{number:,}", seeds[0].head]
            for name in MAIN_METRICS:
                values = [each.number(name) for each in seeds]
                cells += [mean([value for value in values if value is not None]), interval(values[0])]
            rows.append(tuple(cells))
    columns = [Column(name="Images"), Column(name="Head")]
    for label in MAIN_METRICS.values():
        columns += [Column(name=label, digits=1, best="highest"), Column(name="95%")]
    caption = (
        "Class-agnostic heads on true boxes. Each schedule is one of its own, down to a learning rate of zero.",
        *choice.sentences(),
    )
    return [
        Table(title="Heads by images of training", columns=tuple(columns), rows=tuple(rows), caption=caption),
        *(
            differences(
                f"What separates heads after {number:,} images, on true boxes", claim(of_schedule), choice.sentences()
            )
            for number, of_schedule in groups.items()
        ),
    ]
