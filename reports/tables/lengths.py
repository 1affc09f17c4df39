"""What heads reach by how many images they were trained on: does one end up better, or is it only sooner there?"""

import pandas as pd

from reports.cells import mean
from reports.layout import CellValue, Column, Table
from reports.select.trained import MAIN_METRICS, Result, by_seed, in_order, interval, left_out, of_one_run, results
from reports.tables.differences import claim, differences

NUM_IMAGES = {"glyphs_1500": 1_500, "glyphs_3000": 3_000, "glyphs": 6_000}
"""Images that a head is trained on by schedule."""


def tables(frame: pd.DataFrame) -> list[Table]:
    """Accuracy on true boxes by schedule and head, then what separates the heads of each schedule."""
    found = [each for each in results(frame, "accuracy_true_boxes") if each.subject.schedule in NUM_IMAGES]
    alike, others = of_one_run(found)
    groups = {number: in_order(_of(schedule, alike)) for schedule, number in NUM_IMAGES.items()}
    rows: list[tuple[CellValue, ...]] = []
    for number, of_schedule in groups.items():
        for seeds in by_seed(of_schedule).values():
            cells: list[CellValue] = [f"{number:,}", seeds[0].head]
            for name in MAIN_METRICS:
                values = [each.values[name] for each in seeds if name in each.values]
                cells += [mean(values), interval(seeds[0], name)]
            rows.append(tuple(cells))
    columns = [Column(name="Images"), Column(name="Head")]
    for label in MAIN_METRICS.values():
        columns += [Column(name=label, digits=1, best="highest"), Column(name="95%")]
    caption = (
        "Class-agnostic heads on true boxes. Each schedule is one of its own, down to a learning rate of zero.",
        *left_out(others),
    )
    return [
        Table(title="Heads by images of training", columns=tuple(columns), rows=tuple(rows), caption=caption),
        *(
            differences(f"What separates heads after {number:,} images, on true boxes", claim(of_schedule))
            for number, of_schedule in groups.items()
        ),
    ]


def _of(schedule: str, found: list[Result]) -> list[Result]:
    return [each for each in found if each.subject.schedule == schedule]
