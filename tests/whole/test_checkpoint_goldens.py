"""Our models with the weights of a formula compute what the authors' own code computes with them.

A golden holds outputs of that code, computed in 64 bits, and the keys of its weights. It tests two things at once: that
every tensor finds its place here, and that the model computes the same, from the maps to the gradients.

In 32 bits all of inference is compared; in 64 bits it is with every twelfth region of the heads whose regions do not
compete for cells. Heads are the same on FQDetV2, so there one golden is enough in 64 bits. The training step is in 64
bits: in 32, rounding chooses among anchors that fit an object equally well.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.catalog import DETECTORS
from bench.data.samples import Batch, Objects
from bench.foreign import detseg
from bench.model.assemble import assemble
from bench.model.build import build
from bench.model.segmenter import Segmenter
from bench.record import Subject
from heads import Detections, Stage, Targets, _targets, compose
from tests import formula

FOLDER = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared")) / "checkpoints"
PATHS = sorted(FOLDER.glob("*.npz"))
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_PLACES = 64
EVERY = 12  # of the detections, in 64 bits, where regions do not compete
SIDES = (14, 28, 56, 112)

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
"""Of maps, logits and queries, in deviations of the tensor."""
PIXELS = {torch.float32: 1e-2, torch.float64: 1e-5}
PROBABILITY = {torch.float32: 1e-3, torch.float64: 1e-5}


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A file: its arrays, and what it says of itself."""

    arrays: Mapping[str, NDArray[Any]]
    about: dict[str, Any]

    @property
    def seed(self) -> str:
        return str(self.about["seed"])

    @property
    def is_exact(self) -> bool:
        """Whether it is compared in 64 bits too."""
        return self.about["version"] == 1 or self.about["head"] == "mask_rcnn"

    def weights(self) -> dict[str, Tensor]:
        """By the official keys, without mean and deviation of images, which no formula gives."""
        shapes = {key: shape for key, shape in self.about["keys"].items() if not key.startswith("backbone.in_norm_")}
        return {key: torch.from_numpy(formula.weight(self.seed, key, shape)) for key, shape in shapes.items()}

    def subject(self) -> Subject:
        return Subject(
            head=self.about["head"],
            backbone={"fpn": "r50_fpn", "def": "r50_defenc"}[self.about["neck"]],
            detector=None if self.about["version"] == 1 else f"fqdetv{self.about['version']}",
            preset="paper",
        )

    def batch(self, dtype: torch.dtype) -> Batch:
        """The image, with the objects of the training step: ellipses in their boxes."""
        height, width = self.about["image_size"]
        pixels = torch.from_numpy(formula.image(self.seed, height, width)).to(dtype).permute(2, 0, 1) / 255
        mean, deviation = (pixels.new_tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
        objects = None
        if "object.box" in self.arrays:
            boxes = torch.from_numpy(self.arrays["object.box"])
            low, high = boxes[:, None, None, :2], boxes[:, None, None, 2:]
            centre = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), -1) + 0.5
            inside = (((centre - (low + high) / 2) / ((high - low) / 2)) ** 2).sum(-1) <= 1
            labels = torch.from_numpy(self.arrays["object.label"].astype(np.int64))
            objects = (Objects(boxes=boxes.float(), labels=labels, masks=inside),)
        return Batch(
            images=((pixels - mean) / deviation)[None],
            input_sizes=((height, width),),
            original_sizes=((height, width),),
            image_ids=(1,),
            objects=objects,
        )

    def check(self, name: str, tensor: Tensor, tolerance: float) -> None:
        """Compare a tensor with the samples and moments of it."""
        flat, (mean, deviation) = tensor.numpy().ravel(), self.arrays[f"{name}.moments"]
        expected = self.arrays[f"{name}.sample"]
        found = flat[formula.places(self.seed, name, flat.size, len(expected))]
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * deviation, err_msg=name)
        moments = np.array([flat.mean(), flat.std(ddof=1)])
        np.testing.assert_allclose(moments, [mean, deviation], rtol=0, atol=tolerance * deviation, err_msg=name)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What our model makes of the image of a golden."""

    golden: Golden
    model: Segmenter
    dtype: torch.dtype
    tensors: dict[str, Tensor]
    output: Any
    detections: Detections
    regions: Detections
    stages: list[Stage]

    def anchors_of(self, queries: Tensor) -> NDArray[np.int64]:
        """The anchors of regions, by their queries."""
        same = (queries[:, None] == self.output.queries[0]).all(-1)
        assert same.any(1).all()
        return np.asarray(self.output.anchor_index[0][same.int().argmax(1)].numpy())

    @cached_property
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Predictions of the golden that were computed here, and their rows here."""
        anchors = self.anchors_of(self.regions.queries)[self.regions.region]
        here = {pair: row for row, pair in enumerate(zip(anchors.tolist(), self.regions.labels.tolist(), strict=True))}
        pairs = zip(self.golden.arrays["det.anchor"].tolist(), self.golden.arrays["det.label"].tolist(), strict=True)
        found = [(place, here[pair]) for place, pair in enumerate(pairs) if pair in here]
        places, rows = zip(*found, strict=True)
        return np.array(places), np.array(rows)


def read(path: Path) -> Golden:
    with np.load(path) as file:
        arrays = dict(file)
    return Golden(arrays=arrays, about=json.loads(arrays.pop("meta").tobytes()))


@lru_cache(1)
def golden_and_model(path: Path) -> tuple[Golden, Segmenter]:
    golden = read(path)
    subject = golden.subject()
    if subject.detector not in {None, *DETECTORS}:
        pytest.skip(f"there is no detector {subject.detector}")
    model = build(subject)
    model.load_state_dict(detseg.KEYS.to_ours(golden.weights(), model.state_dict()))
    return golden, model


def cases() -> Iterator[tuple[Path, torch.dtype]]:
    for path in PATHS:
        yield from ((path, dtype) for dtype in TOLERANCE if dtype == torch.float32 or read(path).is_exact)


@pytest.fixture(
    scope="module",
    params=list(cases()) or [None],
    ids=lambda each: "-" if each is None else f"{each[0].stem}-{str(each[1]).removeprefix('torch.')}",
)
def outcome(request: pytest.FixtureRequest) -> Outcome:
    if request.param is None:
        pytest.skip(f"no goldens: {FOLDER} is not there; set BENCH_TEST_DATA to the folder that holds checkpoints/")
    path, dtype = request.param
    golden, model = golden_and_model(path)
    return run(golden, model.to(dtype).eval(), dtype)


@torch.inference_mode()
def run(golden: Golden, model: Segmenter, dtype: torch.dtype) -> Outcome:
    batch, size = golden.batch(dtype), tuple(golden.about["image_size"])
    seen: list[Tensor] = []
    layers: list[nn.Module] = [model.detector.transition, *model.detector.decoder]
    hooks = [layer.register_forward_hook(lambda layer, inputs, output: seen.append(output[0])) for layer in layers]
    features = model.backbone(batch.images)
    pyramid = model.neck(features)
    output = model.detector(pyramid, size)
    for hook in hooks:
        hook.remove()
    order = output.anchor_index[0].argsort()  # the goldens have queries in the order of their anchors
    tensors = {"input": batch.images, "selection": output.selection_logits}
    tensors |= {f"C{level}": maps for level, maps in features.items()}
    tensors |= {f"P{level}": maps for level, maps in pyramid.items()}
    tensors |= {f"query{place}": queries[order] for place, queries in enumerate(seen)}
    tensors |= {"class_logits": output.class_logits[0][order]}
    detections = replace(model.detector.detections(output), image_size=size)
    regions = model.regions(detections)
    if model.head.class_specific and dtype == torch.float64:
        regions = some(regions, EVERY)
    return Outcome(
        golden=golden,
        model=model,
        dtype=dtype,
        tensors=tensors,
        output=output,
        detections=detections,
        regions=regions,
        stages=model.head(pyramid, regions),
    )


def some(regions: Detections, every: int) -> Detections:
    """Every so many of the regions of one image, which have one prediction each."""
    count = len(regions.boxes[::every])
    names = ("boxes", "image", "queries", "labels", "scores")
    return replace(
        regions,
        **{name: getattr(regions, name)[::every] for name in names},
        region=torch.arange(count),
        region_counts=(count,),
        prediction_counts=(count,),
    )


def test_maps_logits_and_queries(outcome: Outcome) -> None:
    golden = outcome.golden
    assert len(outcome.tensors) == 1 + 1 + 4 + 6 + 7 + 1
    for name, tensor in outcome.tensors.items():
        golden.check(name, tensor, TOLERANCE[outcome.dtype])


def test_selected_anchors_and_boxes(outcome: Outcome) -> None:
    arrays, output = outcome.golden.arrays, outcome.output
    anchors, order = output.anchor_index[0].sort()
    assert anchors.tolist() == arrays["query.anchor"].tolist()
    pixels = PIXELS[outcome.dtype]
    np.testing.assert_allclose(output.anchor_boxes[0][order].numpy(), arrays["query.anchor_box"], rtol=0, atol=pixels)
    np.testing.assert_allclose(output.boxes[0][order].numpy(), arrays["boxes"], rtol=0, atol=pixels)
    deviation = arrays["deltas"].std()
    deltas = output.deltas[0][order].numpy()
    np.testing.assert_allclose(deltas, arrays["deltas"], rtol=0, atol=TOLERANCE[outcome.dtype] * deviation)


def test_detections(outcome: Outcome) -> None:
    arrays, found = outcome.golden.arrays, outcome.detections
    anchors = outcome.anchors_of(found.queries)[found.region]
    scores = dict(zip(zip(anchors.tolist(), found.labels.tolist(), strict=True), found.scores.tolist(), strict=True))
    pairs = list(zip(arrays["det.anchor"].tolist(), arrays["det.label"].tolist(), strict=True))
    assert set(scores) == set(pairs)
    np.testing.assert_allclose(
        [scores[pair] for pair in pairs], arrays["det.class_score"], rtol=0, atol=TOLERANCE[outcome.dtype]
    )


def test_masks_and_scores(outcome: Outcome) -> None:
    """In 32 bits a cell on a threshold may flip in two masks of a hundred; the authors' code pastes in 32 bits."""
    golden, regions, (places, rows) = outcome.golden, outcome.regions, outcome.rows
    arrays = {name: golden.arrays[f"det.{name}"][places] for name in ("prob", "score", "area", "moment", "stable")}
    probabilities = compose(outcome.stages).sigmoid().flatten(1)
    side = golden.about["mask_side"]
    assert probabilities.shape[1] == side**2
    cells = formula.places(golden.seed, "cells", side**2, NUM_PLACES)
    found = probabilities.numpy()[regions.region.numpy()[rows]][:, cells]
    wrong = (np.abs(found - arrays["prob"]) > PROBABILITY[outcome.dtype]).any(1) & arrays["stable"]
    assert wrong.mean() <= (0.02 if outcome.dtype == torch.float32 else 0)

    sizes = (tuple(golden.about["image_size"]),)
    (image,) = assemble(outcome.stages, regions, sizes, sizes)
    masks = [image.crops[region] for region in regions.region.tolist()]
    scores = np.zeros(len(masks))
    scores[[place for place, crop in enumerate(masks) if crop.mask.any()]] = image.scores.numpy()
    np.testing.assert_allclose(scores[rows], arrays["score"], rtol=0, atol=1e-4)
    for row, area, moment, stable in zip(rows, arrays["area"], arrays["moment"], arrays["stable"], strict=True):
        if stable:
            crop = masks[row]
            down, right = crop.mask.nonzero().sum(0).tolist()
            size = int(crop.mask.sum())
            assert abs(size - area) <= 1
            ours = np.array([right + (crop.left + 1) * size, down + (crop.top + 1) * size])
            assert (np.abs(ours - moment) <= abs(size - area) * max(sizes[0])).all()


def test_stages_and_their_active_cells(outcome: Outcome) -> None:
    golden, arrays = outcome.golden, outcome.golden.arrays
    if "region.anchor" not in arrays:
        return
    anchors = outcome.anchors_of(outcome.regions.queries).tolist()
    order = [anchors.index(anchor) for anchor in arrays["region.anchor"].tolist()]
    exact = outcome.dtype == torch.float64
    for number, stage in enumerate(outcome.stages):
        for name, values in (("mask_logit", stage.mask_logits), ("refine_logit", stage.refine_logits)):
            if values is None:  # of the last stage: nobody asks where to go on
                continue
            maps = on_lattice(stage, values, len(anchors))[order]
            active, expected = (~np.isnan(maps)).sum((1, 2)), arrays[f"stage{number}.active"]
            assert np.abs(active - expected).sum() <= (0 if exact else 8), "cells on the threshold"
            logits = arrays[f"stage{number}.{name}"]
            found = maps.ravel()[arrays[f"stage{number}.cell"]]
            wrong = ~(np.abs(found - logits) <= TOLERANCE[outcome.dtype] * logits.std())
            assert wrong.mean() <= (0 if exact else 0.02), f"stage {number} {name} of {golden.about['name']}"


def on_lattice(stage: Stage, values: Tensor, num_regions: int) -> NDArray[np.floating[Any]]:
    """Values of a stage at its cells, NaN elsewhere."""
    if stage.region is None or stage.point is None:
        return np.asarray(values.numpy())
    maps = torch.full((num_regions, stage.side, stage.side), torch.nan, dtype=values.dtype)
    column, row = (stage.point * stage.side).long().unbind(1)
    maps[stage.region, row, column] = values
    return np.asarray(maps.numpy())


def test_a_training_step(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    golden, arrays = outcome.golden, outcome.golden.arrays
    if "loss" not in golden.about or not golden.is_exact or outcome.dtype == torch.float32:
        return
    model = outcome.model.train()
    # Where a fully covered cell comes out as 1 - 1e-16, the original calls it mixed.
    monkeypatch.setattr(_targets, "ROUNDING", 0)
    seen: list[Any] = []
    hooks = [
        model.detector.register_forward_hook(lambda module, inputs, output: seen.append(output)),
        model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1])),
    ]
    loss_of_head = model.head.loss

    def spy(stages: list[Stage], targets: Targets) -> dict[str, Tensor]:
        seen.append(targets)
        return loss_of_head(stages, targets)

    monkeypatch.setattr(model.head, "loss", spy)
    losses = model(golden.batch(torch.float64))
    for hook in hooks:
        hook.remove()
    losses.pop("points", None)  # PointRend's are drawn at random, differently in any other code
    output, regions, targets = seen
    assert sorted(
        zip(replace(outcome, output=output).anchors_of(regions.queries), targets.index.tolist(), strict=True)
    ) == (sorted(zip(arrays["match.anchor"].tolist(), arrays["match.object"].tolist(), strict=True)))
    ours = {name: loss.item() for name, loss in by_official_name(losses).items()}
    for name, loss in {**golden.about["loss"], **golden.about["stage_loss"]}.items():
        tolerance = 1e-3 if name.startswith("ref_") else 1e-6
        assert ours[name] == pytest.approx(loss, rel=tolerance), name

    model.zero_grad()
    sum(losses.values()).backward()
    found = {name: value.detach().clone().zero_() for name, value in model.state_dict().items()}
    found |= {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    gradients = detseg.KEYS.to_theirs(found)
    # Which of its cells EffSeg calls mixed hangs on rounding; it moves all that learns from it.
    for name, (norm, largest) in golden.about["gradient"].items():
        learns_from_it = golden.about["head"] == "effseg" and name.startswith("heads.gvd.heads.2.")
        tolerance = 1e-2 if learns_from_it else 1e-5
        assert gradients[name].norm().item() == pytest.approx(norm, rel=tolerance), name
        assert gradients[name].abs().max().item() == pytest.approx(largest, rel=tolerance), name
    model.zero_grad()


def by_official_name(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums of our losses that the authors' code has names for."""
    named = {"sel_loss": losses["selection"], "cls_loss_6_0": losses["class"], "box_loss_6_1": losses["box"]}
    for name, prefix in (("mask_loss_6_2", "mask_"), ("seg_loss_6_2", "mask_"), ("ref_loss_6_2", "refine_")):
        of_stage = {side: losses[f"{prefix}{side}"] for side in SIDES if f"{prefix}{side}" in losses}
        if of_stage:
            named[name] = torch.stack(list(of_stage.values())).sum()
            named |= {f"{name}_{SIDES.index(side)}": loss for side, loss in of_stage.items()}
    return named
