"""Tables 3, 4 and 5 of the paper with our numbers beside the published ones.

Rows are the paper's, then those of new heads and modules. Ours are found by subject, whichever recipe measured it.
Parameters and costs do not depend on the schedule, so random weights fill the rows of every schedule; their accuracy is
never shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.record import Record, Subject
from reports import paper
from reports.cells import Number
from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable, comparable, needs_weights
from reports.select.measured import Measured
from reports.tables.captions import Used, caption
from reports.tables.ours import ACCURACY, HEAD_COSTS, MODEL_COSTS, SIZES, Ours


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Content of a table: the paper's rows, the columns that name a row, our values, and which rows compete."""

    title: str
    rows: Sequence[paper.Row]
    labels: tuple[str, ...]
    values: Sequence[Ours]
    among: tuple[str, ...] = ()


_MODELS = ("Backbone", "Head", "Epochs")
TABLES = {
    "main": _Layout(
        title="Table 3: heads on the common detector",
        rows=paper.TABLE3,
        labels=_MODELS,
        values=[*ACCURACY, *MODEL_COSTS],
        among=("Backbone", "Epochs"),
    ),
    "main_sizes": _Layout(
        title="Table 3, continued: AP by overlap and size",
        rows=paper.TABLE3,
        labels=_MODELS,
        values=SIZES,
        among=("Backbone", "Epochs"),
    ),
    "heads": _Layout(title="Table 4: heads alone (R50+FPN)", rows=paper.TABLE4, labels=("Head",), values=HEAD_COSTS),
    "modules": _Layout(
        title="Table 5: processing modules of EffSeg (R50+FPN)",
        rows=paper.TABLE5,
        labels=("Module",),
        values=[*ACCURACY, *MODEL_COSTS],
    ),
    "modules_sizes": _Layout(
        title="Table 5, continued: AP by overlap and size", rows=paper.TABLE5, labels=("Module",), values=SIZES
    ),
}
"""Tables by the recipe that measures them; `_sizes` are the accuracies that the others have no room for."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table and what was measured for it: with one backend and kernel, `storage`, empty for the default.

    `measured` are all its records, `choices` say by probe which of them may be shown, and `failed` are the probes that
    ended with an error.
    """

    row: paper.Row
    storage: str
    measured: Sequence[Measured]
    choices: Mapping[str, Comparable]
    failed: frozenset[str]

    def found(self, probe: str) -> Measured | None:
        """The record that counts: of trained weights rather than random ones, then the newest."""
        found = [each for each in self.measured if each in self.choices[probe].shown]
        return max(found, key=lambda each: (each.subject.schedule != "none", each.started), default=None)

    def number(self, ours: Ours) -> Number | None:
        """Our number; None without one, of which `state` may know the reason."""
        return ours.number(self.found(ours.probe))

    def state(self, ours: Ours) -> str:
        """Why there is no number although something was measured: one of `captions.STATES`; empty where nothing was."""
        if ours.probe in self.failed:
            return "failed"
        if needs_weights(ours.probe) and self.measured and all(_is_random(each.subject) for each in self.measured):
            return "untrained"
        left_out = self.choices[ours.probe].left_out
        return "left out" if any(each in left_out and ours.is_in(each) for each in self.measured) else ""

    def texts(self, labels: Sequence[str]) -> list[str]:
        """Labels of the row, in the columns of these names."""
        row = self.row
        texts = {
            "Backbone": paper.BACKBONES.get(row.backbone, row.backbone),
            "Head": paper.HEADS.get(row.head, row.head),
            "Epochs": row.schedule.removesuffix("ep"),
            "Module": "" if row.module is None else paper.MODULES.get(row.module, row.module),
        }
        main = "Module" if "Module" in labels else "Head"
        return [f"{texts[each]} ({self.storage})" if self.storage and each == main else texts[each] for each in labels]


def table(recipe: str, found: Sequence[Measured], failures: Sequence[Record] = ()) -> Table:
    """Make the table of a recipe (see `TABLES`).

    What the paper does not have (another head, module, backend or kernel) has rows of its own, and only what was
    measured, or is among the `failures`, has columns. Raises ValueError for a recipe without a table.
    """
    if recipe not in TABLES:
        raise ValueError(f"There is no table for {recipe!r}. Tables: {', '.join(TABLES)}. Name one of these.")
    layout = TABLES[recipe]
    made = lines(recipe, found, failures)
    # A column nobody has measured yet, such as speed without images, would only show the paper's numbers.
    values = [
        ours
        for ours in layout.values
        if any(ours.probe in line.failed or line.number(ours) is not None for line in made)
    ]
    rows, used = [], Used()
    for line in made:
        labels = line.texts(layout.labels)
        cells: list[CellValue] = [*labels]
        for ours in values:
            record = line.found(ours.probe)
            number = ours.number(record)
            state = "" if number is not None else line.state(ours)
            cells += ours.cells(number, line.row, state)
            used.states.add(state)
            if record is not None and number is not None:
                used.records[record] = None
        rows.append(tuple(cells))
        costs = line.found("flops")
        if costs is not None:
            used.costs[" ".join(labels)] = (line.row.backbone, costs)
    columns = [Column(name=label) for label in layout.labels]
    columns += [column for ours in values for column in ours.columns()]
    choices = made[0].choices
    return Table(
        title=layout.title,
        columns=tuple(columns),
        rows=tuple(rows),
        caption=caption(
            used,
            [choices[probe] for probe in dict.fromkeys(ours.probe for ours in values)],
            of_accuracy=any(ours.inside for ours in layout.values),
            of_costs=any(ours.probe == "flops" for ours in layout.values),
        ),
        among=layout.among,
    )


def lines(recipe: str, found: Sequence[Measured], failures: Sequence[Record] = ()) -> list[Line]:
    """The rows of the table of a recipe, with what was measured of the paper's sizes for each."""
    layout = TABLES[recipe]
    of_paper = [each for each in found if _is_of_paper(each.subject)]
    rows = (*layout.rows, *_new_rows(of_paper, layout))
    known = [each for each in of_paper if any(_belongs(each.subject, row) for row in rows)]
    # Of every table, `flops` says what the detector costs.
    choices = {probe: _choice(known, probe) for probe in ("flops", *(ours.probe for ours in layout.values))}
    made = []
    for row in rows:
        of_row = [each for each in known if _belongs(each.subject, row)]
        failed = [each for each in failures if _is_of_paper(each.subject) and _belongs(each.subject, row)]
        made += [
            Line(
                row=row,
                storage=storage,
                measured=[each for each in of_row if each.storage == storage],
                choices=choices,
                failed=frozenset(each.probe for each in failed),
            )
            for storage in sorted({each.storage for each in of_row}) or [""]
        ]
    return made


def _choice(found: Sequence[Measured], probe: str) -> Comparable:
    """What a column may show: of random weights the nominal costs, since these find regions that mean nothing."""
    known = [each for each in found if each.probe == probe]
    nominal = [each for each in known if each.protocol.get("kind") == "nominal"]
    if any(_is_random(each.subject) for each in nominal):
        known = [each for each in known if each in nominal or not _is_random(each.subject)]
    return comparable(known, probe)


def _is_random(subject: Subject) -> bool:
    return subject.weights == "random"


def _new_rows(found: Iterable[Measured], layout: _Layout) -> list[paper.Row]:
    """Rows for what was measured and the paper does not have: new heads, or new modules of EffSeg."""
    by_module = "Module" in layout.labels
    known = {row.module if by_module else row.head for row in layout.rows}
    rows = {}
    for of in (each.subject for each in found):
        name = of.module if by_module else of.head
        fits = of.head == "effseg" or not by_module, of.backbone == "r50_fpn" or "Backbone" in layout.labels
        if all(fits) and name is not None and name not in known and of.head is not None and of.backbone is not None:
            rows[of.head, of.module, of.backbone, of.schedule] = paper.Row(
                id=f"new/{of.head}",
                head=of.head,
                module=of.module,
                backbone=of.backbone,
                schedule=of.schedule,
                values={},
            )
    return sorted(rows.values(), key=_place)


def _place(row: paper.Row) -> tuple[int, int]:
    """Where tables have a head, and a module: what nobody has named comes last."""
    heads, modules = list(paper.HEADS), [None, *paper.MODULES]
    return (
        heads.index(row.head) if row.head in heads else len(heads),
        modules.index(row.module) if row.module in modules else len(modules),
    )


def _is_of_paper(subject: Subject) -> bool:
    """Whether a subject has the paper's sizes and the paper's detector."""
    return subject.preset == "paper" and subject.detector is None


def _belongs(subject: Subject, row: paper.Row) -> bool:
    """Whether a subject is that of a row, random weights that of every schedule."""
    model = (subject.head, subject.module, subject.backbone)
    return model == (row.head, row.module, row.backbone) and subject.schedule in (row.schedule, "none")
