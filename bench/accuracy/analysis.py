"""Where a result loses its AP, as the values of a record: errors, classes, what is taken for what, and outlines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.accuracy import gains, outlines
from bench.accuracy.average_precision import per_class
from bench.accuracy.bootstrap import Comparison
from bench.accuracy.confusion import Confusion, confusion
from bench.accuracy.errors import Errors, find
from bench.accuracy.matching import Matches
from bench.accuracy.outlines import Outlines
from bench.accuracy.overlap import Overlaps
from bench.accuracy.protocol import COUNT_PREFIXES, value_name
from bench.accuracy.selection import Entries
from bench.record import Value, rows

_CLASS_METRICS = ("ap", "ap50", "ap75", "ap_s", "ap_m", "ap_l")


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What is wrong with a result under one protocol.

    There are `outlines` where the protocol compares masks, and a `confusion` where it compares masks or boxes.
    """

    matches: Matches
    errors: Errors
    confusion: Confusion | None
    outlines: Outlines | None

    def values(self, *, resamples: int, seed: int) -> Iterator[Value]:
        """The values of a record, with intervals where there are resamples.

        `dap50` at every `error`, alone, by `size` and by `category`; `ap_errors`, their numbers; the AP of every
        `category`; `ap_confusion` of a `category` with what was `predicted`; `ap_matched_mask_iou` and
        `ap_matched_boundary_iou`, also by `size`. Other protocols than COCO's begin with their own names.
        """
        protocol = self.matches.protocol.name
        prefix = COUNT_PREFIXES[protocol]
        gain_name = f"d{value_name(protocol, 'ap50')}"
        for gain in gains.gains(self.errors, resamples=resamples, seed=seed):
            yield Value(name=gain_name, value=gain.value, unit="points", at=dict(gain.at), interval=gain.interval)
        for kind, number in self.errors.counts().items():
            unit = "objects" if kind == "missed" else "predictions"
            yield Value(name=f"{prefix}_errors", value=number, unit=unit, at={"error": kind})
        for name, score in zip(self.errors.category_names, per_class(self.matches), strict=True):
            metrics = {metric: getattr(score, metric) for metric in _CLASS_METRICS}
            known = {value_name(protocol, metric): value for metric, value in metrics.items() if value is not None}
            yield from rows(known, "points", category=name)
            yield from rows({f"{prefix}_objects": score.num_objects}, "objects", category=name)
            yield from rows({f"{prefix}_predictions": score.num_detections}, "predictions", category=name)
        for row, column, number in () if self.confusion is None else self.confusion.cells():
            at: dict[str, str | int] = {"category": row, "predicted": column}
            yield Value(name=f"{prefix}_confusion", value=number, at=at)
        if self.outlines is not None:
            yield from self._of_outlines(self.outlines, prefix, resamples=resamples, seed=seed)

    def _of_outlines(self, found: Outlines, prefix: str, *, resamples: int, seed: int) -> Iterator[Value]:
        for quality in outlines.qualities(found, resamples=resamples, seed=seed):
            at: dict[str, str | int] = {} if quality.size is None else {"size": quality.size}
            name = f"{prefix}_matched_{quality.measure}_iou"
            yield Value(name=name, value=quality.value, at=at, interval=quality.interval)
            if quality.measure == outlines.MEASURES[0]:
                yield Value(name=f"{prefix}_matched", value=quality.num_objects, unit="objects", at=at)


def analyse(entries: Entries, tables: Sequence[Matches], overlaps: Overlaps) -> list[Analysis]:
    """Analyse what was matched by several protocols; `overlaps` are those of `bench.accuracy.errors.across_classes`."""
    found = []
    for matches in tables:
        protocol = matches.protocol
        errors = find(entries, protocol, overlaps)
        found.append(
            Analysis(
                matches=matches,
                errors=errors,
                confusion=None if protocol.iou == "boundary" else confusion(entries, protocol, overlaps),
                outlines=(outlines.outlines(entries, protocol, overlaps, errors) if protocol.iou == "segm" else None),
            )
        )
    return found


def compare(
    first: Analysis, second: Analysis, *, resamples: int = 1000, seed: int = 0
) -> Iterator[tuple[str, Mapping[str, str], Comparison]]:
    """Name of the value, what it is of, and what separates two results: what errors cost, and how objects are drawn.

    Outlines are compared on the objects that both found, and are not those of `values`.
    Raises ValueError where images, objects or protocols differ.
    """
    protocol = first.matches.protocol.name
    gain_name = f"d{value_name(protocol, 'ap50')}"
    for at, found in gains.compare(first.errors, second.errors, resamples=resamples, seed=seed):
        yield gain_name, at, found
    if first.outlines is not None and second.outlines is not None:
        compared = outlines.compare(first.outlines, second.outlines, resamples=resamples, seed=seed)
        for measure, size, _, found in compared:
            name = f"{COUNT_PREFIXES[protocol]}_matched_{measure}_iou"
            yield name, {} if size is None else {"size": size}, found
