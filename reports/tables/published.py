"""Models that others published, measured: what their authors state beside it, then all that they do not state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bench.record import Record, Subject
from reports import paper
from reports.cells import Number
from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable, comparable, model
from reports.select.field import Field, measured_of
from reports.select.measured import Measured
from reports.select.naming import names
from reports.select.trained import interval

TOLERANCE = 0.2
"""Points of AP that other versions of libraries, devices and ties between detections may move, on all of val2017."""

NUM_IMAGES = 5000
"""Of val2017, on which the published AP was measured."""

NOTHING = 1.0
"""A detector trained on COCO has many times this box AP on any images of it; one of other weights has next to none."""

_FINISHINGS = {
    "dilated": "as the authors' code does, which dilates them: the published AP contains it",
    "exact": "as all masks are here, at the image's own size",
}
"""Ways to finish masks by their name in protocols, which is left out where it is the last."""
_COSTS = ("params", "flops", "speed")
_COMPARED = {"box": Field(heading="box AP", name="box_ap"), "mask": Field(heading="mask AP", name="ap")}
"""What authors state."""

_SIZES = tuple(
    Field(heading=heading, name=name)
    for name, heading in {"ap50": "AP50", "ap75": "AP75", "ap_s": "APS", "ap_m": "APM", "ap_l": "APL"}.items()
)
_ACCURACIES = tuple(
    Field(heading=heading, name=name)
    for name, heading in {"ap": "AP", "apb": "APB", "ap_star": "AP*", "apb_star": "APB*"}.items()
)
_OF_MODELS = (
    Field(heading="Params (M)", probe="params", name="params_trainable", digits=2, scale=1e6),
    Field(heading="head M", probe="params", name="params_head", digits=2, scale=1e6),
    Field(heading="GMACs", probe="flops", name="macs", scale=1e9),
    Field(heading="GMACs head", probe="flops", name="macs_head", scale=1e9),
    Field(heading="Regions", probe="flops", name="regions"),
    Field(heading="FPS", probe="speed", name="fps_paper", digits=2),
)

_VERDICTS = {
    "agrees": f"agrees: measured on all {NUM_IMAGES:,} images, at most {TOLERANCE} from the published AP",
    "DIFFERS": f"DIFFERS: measured on all {NUM_IMAGES:,} images, more than {TOLERANCE} from the published AP",
    "inside": "inside: the published AP lies in our interval",
    "OUTSIDE": "OUTSIDE: the published AP lies outside our interval",
    "nothing": "nothing: weights that find nothing cannot be compared",
}
_CAUSES = (
    "Usual causes of a difference: masks finished otherwise; other input sizes; another rule of anchors, borders or "
    "levels; weights of another epoch, or averaged ones; other annotations; half precision; a checkpoint of another "
    "model (docs/protocols.md, Published models)."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Model:
    """A model that was measured: its records, of masks by how these were finished, of all else by their probe.

    `row` is what is published of it, if anything is.
    """

    name: str
    records: Mapping[str, Measured]
    row: paper.Row | None

    @property
    def finishing(self) -> str:
        """How the masks are finished whose AP is compared: as those were whose AP is published."""
        published = None if self.row is None else self.row.finishing
        return published or next((each for each in _FINISHINGS if each in self.records), "exact")

    @property
    def finds_nothing(self) -> bool:
        """Whether the weights cannot be those of a trained model."""
        found = [number for of in _COMPARED if (number := self.ours(of)) is not None]
        return bool(found) and found[0] < NOTHING

    def compared(self, of: str) -> Measured | None:
        """The record that is compared with what authors state."""
        return self.records.get("box_accuracy" if of == "box" else self.finishing)

    def ours(self, of: str) -> Number | None:
        """The AP that is compared."""
        return _COMPARED[of].number(self.compared(of))

    def published(self, name: str) -> float | None:
        """A value that the authors state."""
        return None if self.row is None else self.row.values.get(name)

    def difference(self, ours: Number | None, theirs: float | None) -> float | None:
        """Ours less theirs; None where there is nothing to compare."""
        return None if ours is None or theirs is None or self.finds_nothing else ours - theirs

    def num_images(self, of: str) -> int:
        """On how many images the AP was measured; 0 where it was not."""
        found = self.compared(of)
        number = None if found is None else found.number("box_images" if of == "box" else "ap_images")
        return int(number or 0)

    def verdict(self, of: str) -> str:
        """One of `_VERDICTS`; empty where there is nothing to compare."""
        ours, theirs = self.ours(of), self.published(_COMPARED[of].name)
        if ours is None or theirs is None:
            return ""
        if self.finds_nothing:
            return "nothing"
        if self.num_images(of) == NUM_IMAGES:
            return "agrees" if abs(ours - theirs) <= TOLERANCE + 1e-9 else "DIFFERS"
        if ours.interval is None:
            return ""
        low, high = ours.interval
        return "inside" if low <= theirs <= high else "OUTSIDE"


def tables(found: Sequence[Measured], failures: Sequence[Record] = ()) -> list[Table]:
    """What is compared, the same by overlap and size, both ways to finish masks, and costs.

    Only what was measured has rows and columns; `failures` of published models are told.
    """
    choices = _choices(found)
    models = _models(choices)
    left_out = dict.fromkeys(sentence for of in choices.values() for sentence in of.sentences())
    notes = (*_what_it_means(models), *left_out, *_failed(failures))
    return [_headline(models, notes), _sizes(models), _finishings(models), _costs(models)]


def _choices(found: Sequence[Measured]) -> dict[str, Comparable]:
    """The records that count: of costs and boxes by their probe, of masks by how they were finished."""
    chosen = {probe: comparable(found, probe) for probe in (*_COSTS, "box_accuracy")}
    for finishing in _FINISHINGS:
        of_masks = [
            each
            for each in found
            if each.protocol.get("finishing", "exact") == finishing
            and each.protocol.get("detections", "detector") == "detector"
        ]
        chosen[finishing] = comparable(of_masks, "accuracy")
    return chosen


def _models(choices: Mapping[str, Comparable]) -> list[_Model]:
    """Those of which anything may be shown, in the order of the published ones."""
    records: dict[Subject, dict[str, Measured]] = {}
    for of, choice in choices.items():
        # Costs may be of random weights too: those of the model itself come last and count.
        for each in sorted(choice.shown, key=lambda each: (each.subject.schedule != "none", each.started)):
            key = msgspec.structs.replace(model(each.subject), schedule="published", seed=0)
            records.setdefault(key, {})[of] = each
    rows = {subject: _row(subject) for subject in records}
    ordered = sorted(records, key=lambda of: _place(rows[of]))
    return [
        _Model(name=name, records=records[of], row=rows[of]) for name, of in zip(names(ordered), ordered, strict=True)
    ]


def _row(subject: Subject) -> paper.Row | None:
    of = (subject.head, subject.module, subject.backbone, subject.detector, subject.preset)
    return next(
        (row for row in paper.PUBLISHED if of == (row.head, row.module, row.backbone, row.detector, "paper")), None
    )


def _place(row: paper.Row | None) -> int:
    return len(paper.PUBLISHED) if row is None else paper.PUBLISHED.index(row)


def _headline(models: Sequence[_Model], notes: tuple[str, ...]) -> Table:
    """What authors state, beside ours."""
    shown = [of for of in _COMPARED if any(each.ours(of) is not None for each in models)]
    columns = [Column(name="Model")]
    for of in shown:
        columns += [
            Column(name=_COMPARED[of].heading, digits=2),
            Column(name="95%"),
            Column(name="published", digits=2),
            Column(name="diff", digits=2, signed=True),
            Column(name="verdict"),
        ]
    rows: list[tuple[CellValue, ...]] = []
    for each in models:
        cells: list[CellValue] = [each.name]
        for of in shown:
            ours, theirs = each.ours(of), each.published(_COMPARED[of].name)
            cells += [ours, interval(ours), theirs, each.difference(ours, theirs), each.verdict(of)]
        rows.append(tuple(cells))
    return Table(title="Published models, measured", columns=tuple(columns), rows=tuple(rows), caption=notes)


def _what_it_means(models: Sequence[_Model]) -> Iterator[str]:
    nothing = [each.name for each in models if each.finds_nothing]
    if nothing:
        yield (
            f"THE WEIGHTS OF {', '.join(nothing)} FIND NOTHING (AP below {NOTHING:.0f}): they are not the published "
            "ones, and no accuracy of them means anything."
        )
    sources: dict[str | None, list[str]] = {}
    for each in models:
        sources.setdefault(None if each.row is None else each.row.source, []).append(each.name)
    for source, of in sources.items():
        yield f"Published, of {', '.join(of)}: {source or 'nothing'}."
    verdicts = {each.verdict(of) for each in models for of in _COMPARED}
    said = [meaning for name, meaning in _VERDICTS.items() if name in verdicts]
    yield f"{'; '.join(['diff: ours less the published', *said])}."
    if verdicts & {"DIFFERS", "OUTSIDE"}:
        yield _CAUSES
    compared = {each.num_images(of) for each in models for of in _COMPARED if each.verdict(of) not in ("", "nothing")}
    fewer = sorted(compared - {NUM_IMAGES})
    if fewer:
        yield (
            f"The published AP is of {NUM_IMAGES:,} images, ours of {' and '.join(map(str, fewer))}: AP of fewer "
            "images comes out higher, so a published AP a little below our interval is no contradiction."
        )
    for finishing, how in _FINISHINGS.items():
        of = [each.name for each in models if each.finishing == finishing and each.ours("mask") is not None]
        if of:
            yield f"Mask AP of {', '.join(of)}: masks finished {how}."
    if any(each.row is not None and each.finishing == "exact" and each.ours("mask") is not None for each in models):
        yield "There masks are ranked by Eq. 3, as of all heads: mask AP need not be the published one, box AP must."
    yield "95%: our interval, over images; it does not speak of training."


def _failed(failures: Sequence[Record]) -> Iterator[str]:
    ours = [each for each in failures if each.subject.schedule == "published"]
    if ours:
        failed = dict.fromkeys(f"{each.subject.name} ({each.probe})" for each in ours)
        yield f"Failed, as the records tell: {', '.join(failed)}."


def _sizes(models: Sequence[_Model]) -> Table:
    known = {each: found for each in models if (found := each.compared("mask")) is not None}
    columns = [Column(name="Model")]
    rows: list[list[CellValue]] = [[each.name] for each in known]
    for field in measured_of(_SIZES, known.values()):
        ours = [field.number(found) for found in known.values()]
        theirs = [each.published(field.name) for each in known]
        shown: list[tuple[Column, Sequence[CellValue]]] = [(field.column(), ours)]
        if any(number is not None for number in theirs):
            differences = [
                each.difference(*pair) for each, pair in zip(known, zip(ours, theirs, strict=True), strict=True)
            ]
            shown += [
                (Column(name="published", digits=1), theirs),
                (Column(name="diff", digits=1, signed=True), differences),
            ]
        for column, numbers in shown:
            columns.append(column)
            for row, number in zip(rows, numbers, strict=True):
                row.append(number)
    return Table(
        title="Published models, continued: mask AP by overlap and size",
        columns=tuple(columns),
        rows=tuple(map(tuple, rows)),
        caption=("Masks are finished as for the published AP. diff: ours less the published.",),
    )


def _finishings(models: Sequence[_Model]) -> Table:
    """A row for each way to finish the masks of a model."""
    measured = [each.records[of] for each in models for of in _FINISHINGS if of in each.records]
    shown = measured_of(_ACCURACIES, measured)
    columns = [Column(name="Model"), Column(name="Finishing")]
    for field in shown:
        columns += [field.column(), Column(name="95%")]
    rows: list[tuple[CellValue, ...]] = []
    for each in models:
        for of in _FINISHINGS:
            if of in each.records:
                numbers = [field.number(each.records[of]) for field in shown]
                rows.append((each.name, of, *(cell for number in numbers for cell in (number, interval(number)))))
    return Table(
        title="Published models: masks finished in two ways",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=(
            *(f"{name}: masks finished {how}." for name, how in _FINISHINGS.items()),
            "APB, AP* and APB* of these models are published nowhere. AP and APB are by COCO's annotations, the others "
            "by LVIS's.",
        ),
    )


def _costs(models: Sequence[_Model]) -> Table:
    known = [each for each in models if any(of in each.records for of in _COSTS)]
    shown = [
        field
        for field in _OF_MODELS
        if any(field.number(each.records.get(str(field.probe))) is not None for each in known)
    ]
    machines = sorted({each.records["speed"].machine for each in known if "speed" in each.records})
    counted = {each.records["flops"].protocol.get("kind") for each in known if "flops" in each.records}
    return Table(
        title="Published models: costs",
        columns=(Column(name="Model"), *(field.column() for field in shown)),
        rows=tuple(
            (each.name, *(field.number(each.records.get(str(field.probe))) for field in shown)) for each in known
        ),
        caption=(
            "Trainable parameters. GMACs, a multiply-add being one, and regions: means over images.",
            *(
                ["Nominal: the sizes of 100 images, and a number of regions that was given."]
                if "nominal" in counted
                else []
            ),
            *([f"FPS: the mean of 1/t over images, on {', '.join(machines)}."] if machines else []),
        ),
    )
