"""The answer of a report in a few sentences: which head draws the best outlines, and what it costs."""

from collections.abc import Iterator, Sequence

from bench.names import METRICS
from reports.select.comparable import comparable
from reports.select.field import Field
from reports.select.measured import Measured
from reports.select.trained import AGNOSTIC, BOXES, PRESET, by_seed, first_seeds, numbers, usual
from reports.tables.differences import difference, shared_seeds

_OUTLINES = ("apb_star", "apb")
_COSTS = (
    Field(heading="GMACs of the head for an image", probe="flops", name="macs_head", scale=1e9),
    Field(heading="ms of the whole model for an image", probe="speed", name="latency_ms_median"),
)


def in_short(found: Sequence[Measured]) -> list[str]:
    """Sentences about the small heads that a demo measures; none where these were not measured.

    They repeat what the tables say: means over seeds, and differences with paired intervals of the seeds that two heads
    share.
    """
    small = [each for each in found if each.subject.preset in (PRESET, AGNOSTIC)]
    sentences: list[str] = []
    for probe in ("accuracy", "accuracy_true_boxes"):
        models = list(by_seed(usual(comparable(small, probe)).shown).values())
        sentences += _outlines(models, BOXES[probe])
    for cost in _COSTS:
        sentences += _cost(first_seeds(usual(comparable(small, str(cost.probe))).shown), cost)
    return sentences


def _outlines(models: Sequence[Sequence[Measured]], boxes: str) -> Iterator[str]:
    """The heads by the accuracy of their outlines, and which of them nothing separates from the first."""
    metric = next((name for name in _OUTLINES if any(seeds[0].has(name) for seeds in models)), "")
    known = [(found, seeds) for seeds in models if len(found := numbers(seeds, metric)) == len(seeds)]
    if len(known) < 2:
        return
    ranked = sorted(((sum(found) / len(found), seeds) for found, seeds in known), key=lambda each: -each[0])
    told = ", ".join(f"{seeds[0].head} {mean:.1f}" for mean, seeds in ranked)
    (_, first), *others = ranked
    close = [seeds[0].head for _, seeds in others if not _is_separate(metric, first, seeds)]
    verdict = f"; not separated from the first: {', '.join(close)}" if close else "; the first is ahead of all"
    yield f"Outlines on {boxes} ({METRICS[metric]}; more is better): {told}{verdict}."


def _is_separate(metric: str, first: Sequence[Measured], second: Sequence[Measured]) -> bool:
    """Whether the interval of the difference leaves out 0; without an interval nothing is known."""
    found = difference(metric, *shared_seeds(first, second))
    return found is not None and found.significant


def _cost(found: Sequence[Measured], cost: Field) -> Iterator[str]:
    """The heads by a cost of their first seed, on the machine that measured last."""
    known = [(number, each) for each in found if (number := cost.number(each)) is not None]
    if len(known) > 1:
        known.sort(key=lambda each: each[0])
        told = ", ".join(f"{each.head} {_three_digits(number)}" for number, each in known)
        where = f", on {known[0][1].machine}" if cost.probe == "speed" else ""
        yield f"Cost ({cost.heading}{where}; less is better): {told}."


def _three_digits(number: float) -> str:
    """Three digits that count, or all before the point: never an exponent."""
    return f"{number:.0f}" if number >= 1000 else f"{number:.3g}"
