"""Where should EffSeg refine? Its learned rule beside others at the same budget, on true boxes.

The weights were trained with the learned rule, so this is about the choice at inference: a head trained with another
rule may do better with it. `oracle` knows which cells are mixed, `all` refines every cell.
"""

import torch

from bench.contract import Context, Measurement
from bench.data.samples import Batch
from bench.inference.image_run import with_true_boxes
from bench.inference.variants import Change, Choosing, accuracies, run_ways, times_budget, variants_protocol
from bench.model.segmenter import image_size
from bench.record import Scalar, Subject, Value
from heads import Targets, policies

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True

REFERENCE = "predicted"


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the accuracies depend on."""
    return {**variants_protocol(subject, context), "trained_with": "predicted", "random": context.seed}


def measure(subject: Subject, context: Context) -> Measurement:
    """Measure every rule; `<metric>_difference` is what it gains or loses to the learned one, with an interval."""
    generator = torch.Generator(context.device).manual_seed(context.seed)
    rules: dict[str, policies.Policy] = {
        "predicted": policies.predicted,
        "uncertainty": policies.uncertainty,
        "boundary": policies.at_boundary,
        "random": policies.at_random(generator),
    }
    ways: dict[str, Change] = {name: _by(rule) for name, rule in rules.items()}
    found, run = run_ways(subject, with_true_boxes(context), {**ways, "oracle": _by_oracle, "all": times_budget(None)})
    cells = Value(name="cells_per_stage", value=float(found[REFERENCE].cells.mean()), unit="cells")
    return Measurement(values=(*accuracies(found, "policy", REFERENCE), cells, *run.rows()), files=run.report())


def _by(rule: policies.Policy) -> Change:
    def change(head: Choosing, batch: Batch) -> None:
        head.policy = rule

    return change


def _by_oracle(head: Choosing, batch: Batch) -> None:
    assert batch.objects is not None
    (objects,) = batch.objects
    height, width = image_size(batch.images)
    head.policy = policies.oracle(
        Targets(
            masks=objects.masks,
            image=torch.zeros(len(objects.masks), dtype=torch.long, device=objects.masks.device),
            index=torch.arange(len(objects.boxes), device=objects.boxes.device),
            boxes=objects.boxes,
            image_sizes=objects.boxes.new_tensor([[height, width]] * len(objects.boxes)),
        )
    )
