"""The answer of a report in a few sentences: which head draws the best outlines, and what it costs."""

from collections.abc import Iterator, Sequence

import pandas as pd

from reports.select.trained import Result, by_seed, of_one_run, results, usual
from reports.tables.differences import difference

_OUTLINES = {"apb_star": "APB*", "apb": "APB"}
_BOXES = {"accuracy": "on detected boxes", "accuracy_true_boxes": "on true boxes"}


def in_short(frame: pd.DataFrame) -> list[str]:
    """Sentences about the heads trained on the embedded data; none where these were not measured.

    They repeat what the tables say: means over seeds, and differences with paired intervals of the seeds that two heads
    share.
    """
    sentences: list[str] = []
    for probe, boxes in _BOXES.items():
        alike, _ = of_one_run(usual(results(frame, probe)))
        sentences += _outlines(list(by_seed(alike).values()), boxes)
    sentences += _costs(frame, "flops", "macs_head", 1e9, "GMACs of the head for an image")
    sentences += _costs(frame, "speed", "latency_ms_median", 1, "ms of the whole model for an image")
    return sentences


def _outlines(models: Sequence[Sequence[Result]], boxes: str) -> Iterator[str]:
    """The heads by the accuracy of their outlines, and which of them nothing separates from the first."""
    metric = next((name for name in _OUTLINES if any(name in seeds[0].values for seeds in models)), None)
    known = [seeds for seeds in models if all(metric in each.values for each in seeds)]
    if metric is None or len(known) < 2:
        return
    ranked = sorted(known, key=lambda seeds: -_mean(seeds, metric))
    numbers = ", ".join(f"{seeds[0].head} {_mean(seeds, metric):.1f}" for seeds in ranked)
    close = [seeds[0].head for seeds in ranked[1:] if not _is_separate(metric, ranked[0], seeds)]
    verdict = f"; not separated from the first: {', '.join(close)}" if close else "; the first is ahead of all"
    yield f"Outlines {boxes} ({_OUTLINES[metric]}; more is better): {numbers}{verdict}."


def _is_separate(metric: str, first: Sequence[Result], second: Sequence[Result]) -> bool:
    """Whether the interval of the difference leaves out 0; without an interval nothing is known."""
    seeds = {each.subject.seed for each in first} & {each.subject.seed for each in second}
    sides = [[each for each in side if each.subject.seed in seeds] for side in (first, second)]
    found = difference(metric, *sides) if seeds else None
    return found is not None and found.significant


def _costs(frame: pd.DataFrame, probe: str, name: str, per_unit: float, unit: str) -> Iterator[str]:
    """The heads by a cost of their first seed, on the machine that measured last."""
    found = usual(results(frame, probe))
    last = max(found, key=lambda each: each.started, default=None)
    alike, _ = of_one_run(each for each in found if last is not None and each.machine == last.machine)
    known = [seeds[0] for seeds in by_seed(alike).values() if name in seeds[0].values]
    if len(known) > 1:
        ranked = sorted(known, key=lambda each: each.values[name])
        numbers = ", ".join(f"{each.head} {each.values[name] / per_unit:.3g}" for each in ranked)
        where = f", on {known[0].machine}" if probe == "speed" else ""
        yield f"Cost ({unit}{where}; less is better): {numbers}."


def _mean(seeds: Sequence[Result], metric: str) -> float:
    return sum(each.values[metric] for each in seeds) / len(seeds)
