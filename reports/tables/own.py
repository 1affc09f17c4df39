"""Which head for somebody's own data? Accuracy on either kind of boxes and cost in one table; what separates them."""

from collections.abc import Iterator, Mapping, Sequence

from bench.record import Subject
from reports.cells import mean
from reports.layout import CellValue, Column, Table
from reports.select.comparable import Comparable, comparable
from reports.select.field import Field
from reports.select.measured import Measured
from reports.select.trained import any_seed, by_seed, in_order, interval, numbers
from reports.tables.differences import differences, every_pair

_DETECTED, _TRUE = "accuracy", "accuracy_true_boxes"
ACCURACIES = (
    Field(heading="AP", probe=_DETECTED, name="ap", best="highest"),
    Field(heading="APB", probe=_DETECTED, name="apb", best="highest"),
    Field(heading="AP true boxes", probe=_TRUE, name="ap", best="highest"),
    Field(heading="APB true boxes", probe=_TRUE, name="apb", best="highest"),
)
COSTS = (
    Field(heading="head M", probe="params", name="params_head", digits=2, best="lowest", scale=1e6),
    Field(heading="ms", probe="speed", name="latency_ms_median", digits=0, best="lowest"),
)


def tables(
    found: Sequence[Measured], *, accuracies: Sequence[Field] = ACCURACIES, costs: Sequence[Field] = COSTS
) -> list[Table]:
    """The headline with these columns, then the paired differences on detected and on true boxes."""
    probes = dict.fromkeys((_DETECTED, _TRUE, *(each.probe or "" for each in costs)))
    chosen = {probe: comparable(found, probe) for probe in probes}
    pairs = {probe: every_pair(chosen[probe].shown) for probe in (_DETECTED, _TRUE)}
    return [
        _headline(chosen, comparable(found, "box_accuracy"), accuracies, costs),
        differences("What separates the heads, on the detector's boxes", pairs[_DETECTED]),
        differences("What separates the heads, on the objects' own boxes", pairs[_TRUE]),
    ]


def _headline(
    chosen: Mapping[str, Comparable], boxes: Comparable, accuracies: Sequence[Field], costs: Sequence[Field]
) -> Table:
    records = {probe: by_seed(of.shown) for probe, of in chosen.items()}
    models = {model: seeds[0] for of in records.values() for model, seeds in of.items()}
    accuracies, costs = ([each for each in fields if _is_in(each, chosen)] for fields in (accuracies, costs))
    columns = [Column(name="Head")]
    for each in accuracies:
        columns += [each.column(), Column(name="95%")]
    return Table(
        title="Which head for my data",
        columns=(*columns, *(each.column() for each in costs)),
        rows=tuple(
            (
                f"{of.head} {of.module}".strip() if _has_modules(models) else of.head,
                *(cell for each in accuracies for cell in _accuracy(each, records, of)),
                *(each.number(next(iter(_seeds(each, records, of)), None)) for each in costs),
            )
            for of in in_order(models.values())
        ),
        caption=tuple(_reading(chosen, boxes)),
    )


def _is_in(field: Field, chosen: Mapping[str, Comparable]) -> bool:
    return any(field.is_in(each) for each in chosen[field.probe or ""].shown)


def _has_modules(models: Mapping[Subject, Measured]) -> bool:
    """Whether there is more than one EffSeg, which are told apart by their modules."""
    return len({model.module for model in models if model.module is not None}) > 1


def _seeds(field: Field, records: Mapping[str, Mapping[Subject, list[Measured]]], of: Measured) -> Sequence[Measured]:
    return records[field.probe or ""].get(any_seed(of.subject), [])


def _accuracy(
    field: Field, records: Mapping[str, Mapping[Subject, list[Measured]]], of: Measured
) -> tuple[CellValue, CellValue]:
    """The mean of the seeds, and the interval of the first one."""
    seeds = _seeds(field, records, of)
    return mean(numbers(seeds, field.name)), interval(seeds[0].number(field.name)) if seeds else ""


def _reading(chosen: Mapping[str, Comparable], boxes: Comparable) -> Iterator[str]:
    for each in chosen[_DETECTED].shown[:1]:
        images = each.number("ap_images")
        if images is not None:
            yield (
                f"AP of masks and of their boundaries (APB) on {images:.0f} pictures, in the boxes of the common "
                "detector. 'true boxes': heads get the boxes of the objects, as if detection were perfect."
            )
    for each in boxes.shown[-1:]:
        box_ap = each.number("box_ap")
        if box_ap is not None:
            yield f"AP of the detector's boxes themselves: {box_ap:.1f} ({interval(box_ap)})."
    for each in chosen["speed"].shown[:1]:
        yield f"ms: median time of a picture, on {each.machine}. head M: parameters of the head, in millions."
    yield "Intervals speak of the choice of pictures. Whether two heads differ, the paired differences below say."
    for of in (*chosen.values(), boxes):
        yield from of.sentences()
