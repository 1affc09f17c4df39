"""Tables of where results lose their AP: kinds of errors, confused classes, and how found objects are drawn."""

from collections.abc import Iterable, Mapping

from reports.cells import Bounds, Number
from reports.layout import CellValue, Column, Table
from reports.select.comparable import comparable
from reports.select.measured import Measured
from reports.select.naming import names
from reports.tables.accuracy import PROTOCOLS

ERRORS = {
    "class": "Class",
    "box": "Box",
    "mask": "Mask",
    "location": "Box or mask",
    "both": "Both",
    "duplicate": "Duplicate",
    "background": "Background",
    "missed": "Missed",
    "false_positives": "All false positives",
    "false_negatives": "All false negatives",
}
"""How tables call what can be mended, by its name in records."""

SIZES = ("small", "medium", "large")

BACKGROUND = "(background)"

_NUM_CONFUSED = 10

_Row = Mapping[str, str | float | None]

_MEANING = (
    "dAP: points of AP50 gained were this error mended, all else as it is. Errors hide each other: dAP do not add up.",
    "Class: right but for the class. Box: about an object of the class (IoU of masks from 0.1 on), the box too far off "
    "(below 0.5). Mask: the same with a box that is right. Both: class and place.",
    "Duplicate: the object has a better one. Background: about no object. Missed: no prediction is about the object.",
    "Definitions of TIDE, at an IoU of 0.5; the mean is over the classes that have an object.",
)

_ABSENT = "n/a"


def errors(found: Iterable[Measured]) -> Table:
    """The dAP of every kind of error, of all objects and by size, with intervals below, and the numbers of errors."""
    rows: list[tuple[CellValue, ...]] = []
    analysed = _analysed(found)
    for each, named in analysed:
        for prefix, label in PROTOCOLS.items():
            numbers = [each.number(f"{prefix.removesuffix('_ap')}_errors", error=error) for error in ERRORS]
            if not any(number is not None for number in numbers):
                continue
            for size in (None, *SIZES):
                at = {} if size is None else {"size": size}
                gains = [each.number(f"d{prefix}50", error=error, **at) for error in ERRORS]
                rows.append((*named, label, size or "all", *(_ABSENT if gain is None else gain for gain in gains)))
                if any(gain is not None and gain.interval is not None for gain in gains):
                    rows.append((*[""] * len(named), "", "", *map(_interval, gains)))
            counted = ("" if number is None else f"{number:.0f}" for number in numbers)
            rows.append((*named, label, "number", *counted))
    return Table(
        title="What each kind of error costs, dAP",
        columns=(
            *_label_columns(analysed, "Protocol", "Objects"),
            *(Column(name=label, digits=1) for label in ERRORS.values()),
        ),
        rows=tuple(rows),
        caption=_MEANING,
    )


def confusions(found: Iterable[Measured]) -> Table:
    """The classes that are most often taken for another, by the number of objects."""
    rows: list[tuple[CellValue, ...]] = []
    analysed = _analysed(found)
    for each, named in analysed:
        for prefix, label in PROTOCOLS.items():
            cells = each.record.where(f"{prefix.removesuffix('_ap')}_confusion")
            objects: dict[str, float] = {}
            for cell in cells:
                objects[str(cell.at["category"])] = objects.get(str(cell.at["category"]), 0) + cell.value
            wrong = [cell for cell in cells if len({*cell.at.values(), BACKGROUND}) == 3]
            wrong.sort(key=lambda cell: (-cell.value, *map(str, cell.at.values())))
            for cell in wrong[:_NUM_CONFUSED]:
                category, predicted = str(cell.at["category"]), str(cell.at["predicted"])
                number = Number(cell.value, source=each.source)
                rows.append((*named, label, category, predicted, number, 100 * cell.value / objects[category]))
    return Table(
        title="What is taken for what",
        columns=(
            *_label_columns(analysed, "Protocol", "Object", "Taken for"),
            Column(name="Objects", digits=0),
            Column(name="of the class, %", digits=1),
        ),
        rows=tuple(rows),
        caption=(
            "Objects whose first prediction by score, of any class, at an IoU of 0.5 names another class; the most "
            "frequent ones. The record has the whole matrix, with what was found nowhere and not at all.",
        ),
    )


def outlines(found: Iterable[Measured]) -> Table:
    """The mean IoU of the masks of found objects and of their boundaries, by size."""
    rows: list[tuple[CellValue, ...]] = []
    analysed = _analysed(found)
    for each, named in analysed:
        for prefix, label in PROTOCOLS.items():
            for size in (None, *SIZES):
                at = {} if size is None else {"size": size}
                number = each.number(f"{prefix}_matched", **at)
                if number is None:
                    continue
                iou = [each.number(f"{prefix}_matched_{measure}_iou", **at) for measure in ("mask", "boundary")]
                intervals = [_interval(of, digits=3) for of in iou]
                rows.append((*named, label, size or "all", number, iou[0], intervals[0], iou[1], intervals[1]))
    return Table(
        title="How found objects are drawn",
        columns=(
            *_label_columns(analysed, "Annotations of", "Objects"),
            Column(name="Found", digits=0),
            Column(name="Mask IoU", digits=3),
            Column(name="Interval"),
            Column(name="Boundary IoU", digits=3),
            Column(name="Interval"),
        ),
        rows=tuple(rows),
        caption=(
            "Means over the objects that a prediction found at a mask IoU of 0.5. Two results find different objects: "
            "`compare --errors` compares them on those that both found.",
        ),
    )


def errors_compared(first: str, second: str, rows: Iterable[_Row]) -> Table:
    """What separates the dAP of two results, of all objects; `rows` as in `reports.tables.accuracy.comparison`.

    They also have `error`, and those of a part `size` or `category`.
    """
    shown = [
        (PROTOCOLS[str(row["name"])[1:].removesuffix("50")], ERRORS[str(row["error"])], *_compared(row, 1))
        for row in rows
        if "error" in row and not {"size", "category"} & row.keys()
    ]
    return _comparison(f"Errors of {second} against {first}, dAP", ("Protocol", "Error"), 1, shown, _MEANING)


def outlines_compared(first: str, second: str, rows: Iterable[_Row]) -> Table:
    """What separates how two results draw the objects that both found; `rows` as in `errors_compared`."""
    shown = []
    for row in rows:
        prefix, found, measure = str(row["name"]).partition("_matched_")
        if found:
            of = f"{measure.removesuffix('_iou').capitalize()} IoU"
            shown.append((PROTOCOLS[prefix], f"{of}, {row.get('size', 'all')}", *_compared(row, 3)))
    caption = ("Means over the objects that both results found at a mask IoU of 0.5.",)
    return _comparison(f"Outlines of {second} against {first}", ("Annotations of", "Mean"), 3, shown, caption)


def _comparison(
    title: str,
    labels: tuple[str, ...],
    digits: int,
    rows: list[tuple[CellValue, ...]],
    caption: tuple[str, ...],
) -> Table:
    return Table(
        title=title,
        columns=(
            *(Column(name=label) for label in labels),
            Column(name="First", digits=digits),
            Column(name="Second", digits=digits),
            Column(name="Difference", digits=digits, signed=True),
            *(Column(name=label) for label in ("Interval", "p", "Second is")),
        ),
        rows=tuple(rows),
        caption=(*caption, "Intervals (95 %) and p are from resampled images, the same ones for both results."),
    )


def _compared(row: _Row, digits: int) -> tuple[CellValue, ...]:
    """The cells of a difference after its labels."""
    low, high, p = row["low"], row["high"], row["p"]
    interval = _ABSENT if low is None or high is None else f"[{float(low):+.{digits}f}, {float(high):+.{digits}f}]"
    probability = _ABSENT if p is None else f"{float(p):.2g}"
    return row["first"], row["second"], row["difference"], interval, probability, row["verdict"]


def _analysed(found: Iterable[Measured]) -> list[tuple[Measured, tuple[str, ...]]]:
    """The newest record of every result whose errors were analysed, with its name where there are several."""
    chosen = comparable(found, "accuracy", of=lambda subject: subject)
    known = [each for each in (*chosen.shown, *chosen.left_out) if each.axes("error")]
    known.sort(key=lambda each: each.started)
    if len(known) == 1:
        return [(known[0], ())]
    called = names([each.subject for each in known])
    return [(each, (name,)) for each, name in zip(known, called, strict=True)]


def _label_columns(analysed: list[tuple[Measured, tuple[str, ...]]], *labels: str) -> tuple[Column, ...]:
    """Columns of what rows are about: the name of the result first, where it is said."""
    return tuple(Column(name=name) for name in (*("Predictions" for _, named in analysed[:1] for _ in named), *labels))


def _interval(number: Number | None, *, digits: int = 1) -> str:
    if number is None or number.interval is None:
        return ""
    low, high = number.interval
    return Bounds(f"[{low:.{digits}f}, {high:.{digits}f}]", source=number.source)
