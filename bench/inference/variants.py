"""One trained head run in several ways on the same regions: its accuracy each time, with differences, and its time.

Backbone, neck and detector run once per image, so that all ways see the same regions, one right after the other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
import torch

from bench.accuracy.evaluate import protocols, score
from bench.accuracy.matching import Matches, match
from bench.accuracy.predictions import decode_predictions
from bench.accuracy.protocol import value_name
from bench.accuracy.significance import paired
from bench.contract import Context
from bench.data.samples import Batch
from bench.inference.image_run import ImageRun, open_run, with_true_boxes
from bench.inference.scoring import RESAMPLES, SEED, accuracy_protocol, truths
from bench.model.assemble import assemble
from bench.model.build import load
from bench.model.segmenter import CocoResult, coco_results, image_size
from bench.record import Scalar, Subject, Value
from bench.rulers.clock import NUM_WARM_UP, Clock
from bench.store import Array
from heads import Budget, Pyramid, policies


@runtime_checkable
class Choosing(Protocol):
    """A head that chooses the cells that it refines: EffSeg."""

    policy: policies.Policy
    budget: Budget


Change = Callable[[Choosing, Batch], None]
"""Gives the head another policy or budget for a batch of one image."""

METRICS = ("ap", "ap50", "ap75")


@dataclass(frozen=True, kw_only=True)
class Way:
    """Outcome of one way of running the head: match tables by protocol, time and cells of every image.

    `cells` are those refined in a stage, on average over the stages that refine.
    """

    tables: list[Matches]
    head_ms: Array
    cells: Array


@dataclass(kw_only=True)
class _Tally:
    results: list[CocoResult] = field(default_factory=list)
    head_ms: list[float] = field(default_factory=list)
    cells: list[float] = field(default_factory=list)


def variants_protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the accuracies depend on. The heads get true boxes, so that nothing but the masks differs."""
    return accuracy_protocol(subject, with_true_boxes(context))


@torch.inference_mode()
def run_ways(subject: Subject, context: Context, ways: Mapping[str, Change]) -> tuple[dict[str, Way], ImageRun]:
    """Run every way on every image; give what each found, and the run, which knows the images that were skipped.

    Raises ValueError for a head that does not choose its cells: only EffSeg has a policy and a budget.
    """
    annotated = truths(context)
    run = open_run(subject, context)
    model = load(subject, context, run.files.category_ids)
    head = model.head
    if not isinstance(head, Choosing) or head.budget.cells is None:
        raise ValueError(
            f"{subject.name} does not choose the cells that it refines; expected EffSeg with a processing module that "
            "does; narrow the recipe to the head effseg."
        )
    policy, budget = head.policy, head.budget
    tallies = {name: _Tally() for name in ways}
    image_ids: list[int] = []
    for batch in run:
        given = run.given(batch)
        pyramid: Pyramid = model.neck(model.backbone(batch.images))
        regions = model.regions(model.detections(pyramid, image_size(batch.images), given))
        for name, change in ways.items():
            head.policy, head.budget = policy, budget
            change(head, batch)
            for _ in range(1 if image_ids else 1 + NUM_WARM_UP):
                clock = Clock(context.device)
                stages = head(pyramid, regions)
                clock("head")
            predictions = assemble(stages, regions, batch.input_sizes, batch.original_sizes, finishing=model.finishing)
            tally = tallies[name]
            tally.results += coco_results(batch.image_ids, predictions, run.files.category_ids)
            tally.head_ms.append(clock.ms["head"])
            refined = [len(stage.mask_logits) / 4 for stage in stages if stage.point is not None]
            tally.cells.append(sum(refined) / len(refined))
        image_ids += batch.image_ids
    found = {}
    for name, tally in tallies.items():
        made = decode_predictions(msgspec.json.encode(tally.results), name, [truth for truth, _ in annotated])
        tables = [
            table for truth, names in annotated for table in match(truth, made, protocols(names), images=image_ids)
        ]
        found[name] = Way(tables=tables, head_ms=np.array(tally.head_ms), cells=np.array(tally.cells))
    return found, run


def accuracies(ways: Mapping[str, Way], axis: str, reference: str) -> Iterator[Value]:
    """AP metrics of every way, which is a place on an axis, and what separates each from the `reference`.

    `<metric>_difference` is the way's value minus the reference's; its interval is that of the paired bootstrap over
    images.
    """
    scores = {name: score(way.tables, resamples=RESAMPLES, seed=SEED) for name, way in ways.items()}
    for name, of_way in scores.items():
        for each, base in zip(of_way, scores[reference], strict=True):
            for metric in METRICS:
                if metric not in each.metrics:
                    continue
                of, value = value_name(each.protocol.name, metric), each.metrics[metric]
                yield Value(name=of, value=value, unit="points", at={axis: name}, interval=each.intervals.get(metric))
                if name == reference:
                    continue
                apart = None
                if metric in each.resampled and metric in base.resampled:
                    apart = paired(base.resampled[metric], each.resampled[metric])
                yield Value(
                    name=f"{of}_difference",
                    value=value - base.metrics[metric],
                    unit="points",
                    at={axis: name, "reference": reference},
                    interval=apart[0] if apart else None,
                )


def times_budget(factor: float | None) -> Change:
    """Refine so many times the cells that the head was trained to refine, but at least one; None refines all."""

    def change(head: Choosing, batch: Batch) -> None:
        assert head.budget.cells is not None
        cells = None if factor is None else max(1, round(factor * head.budget.cells))
        head.budget = replace(head.budget, cells=cells)

    return change
