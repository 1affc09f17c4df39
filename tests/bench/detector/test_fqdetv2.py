"""FQDetV2: parameters of the public models, the parts that differ from FQDet, its inference rule.

What both versions share is tested on both in test_fqdet.
"""

import dataclasses
import importlib

import pytest
import torch
from torch import Tensor

from bench.catalog import DETECTORS
from bench.detector import fqdet
from bench.detector.fqdetv2 import PRESETS, Config, FQDetV2, build
from bench.detector.output import FQDetOutput
from bench.detector.quality_losses import quality_losses

SIZE = (96, 128)
TINY = Config(
    levels=(3, 4, 5),
    channels=16,
    num_queries=12,
    selector_bottleneck=8,
    selector_groups=4,
    num_layers=2,
    num_heads=4,
    hidden=24,
)


def pyramid(channels: int = 16, batch: int = 2, device: str = "cpu") -> dict[int, Tensor]:
    generator = None if device == "meta" else torch.Generator().manual_seed(5)
    return {
        k: torch.randn(batch, channels, -(-SIZE[0] // 2**k), -(-SIZE[1] // 2**k), generator=generator, device=device)
        for k in range(2, 8)
    }


@pytest.fixture(scope="module")
def detector() -> FQDetV2:
    torch.manual_seed(0)
    return build(TINY, 16, num_classes=5).eval()


def test_parameters_of_the_public_models() -> None:
    with torch.device("meta"):
        detector = FQDetV2(Config(), 80)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in detector.named_children()}
    assert counts == {
        "selector": 139_401,
        "transition": 596_736,
        "decoder": 8_905_056,
        "class_head": 20_817,
        "box_head": 198_916,
    }
    assert {sum(p.numel() for p in layer.parameters()) for layer in detector.decoder} == {1_484_176}
    assert sum(counts.values()) == 9_860_926


def test_names_of_tensors_are_those_of_fqdet_but_for_the_heads() -> None:
    with torch.device("meta"):
        first, second = (set(kind(TINY, 5).state_dict()) for kind in (fqdet.FQDet, FQDetV2))
    assert {name for name in first - second if not name.startswith(("class_head", "box_head"))} == {
        name for name in first if name.startswith("anchor_encoding")
    }
    of_heads = {f"box_head.{place}.{kind}" for place in (0, 1, 2, 4, 6) for kind in ("weight", "bias")}
    assert second - first <= of_heads | {"class_head.weight", "class_head.bias"}
    assert of_heads | {"class_head.weight", "class_head.bias"} <= second


def test_runs_without_data() -> None:
    """On meta tensors every shape must be known beforehand."""
    config = PRESETS["small"]
    with torch.device("meta"):
        detector = build(config, config.channels, 80)
    output = detector(pyramid(config.channels, device="meta"), SIZE)
    assert output.queries.shape == (2, config.num_queries, config.channels)
    assert output.class_logits.shape == (2, config.num_queries, 81)


def test_presets_are_those_of_fqdet_with_twice_the_queries_and_hidden_channels() -> None:
    for preset, config in PRESETS.items():
        first = fqdet.PRESETS[preset]
        changed = {"num_queries": 2 * first.num_queries, "hidden": 2 * first.hidden, "max_overlap": 0.65}
        assert dataclasses.asdict(config) == dataclasses.asdict(first) | changed


@torch.no_grad()
def test_heads_read_the_query_as_it_is(detector: FQDetV2) -> None:
    """By hand: one layer for the classes; four for the box, where nothing follows the norm but a layer."""
    output = detector(pyramid(), SIZE)
    head = detector.class_head
    assert isinstance(head, torch.nn.Linear)
    torch.testing.assert_close(output.class_logits, output.queries @ head.weight.T + head.bias)
    weights = dict(detector.box_head.named_parameters())
    hidden = output.queries @ weights["0.weight"].T + weights["0.bias"]
    hidden = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    hidden = (hidden * weights["1.weight"] + weights["1.bias"]) @ weights["2.weight"].T + weights["2.bias"]
    hidden = hidden.clamp(min=0) @ weights["4.weight"].T + weights["4.bias"]
    deltas = hidden.clamp(min=0) @ weights["6.weight"].T + weights["6.bias"]
    torch.testing.assert_close(output.deltas, deltas)
    expected = output.class_logits[0, :, :5].sigmoid()
    torch.testing.assert_close(detector.class_scores(output.queries[0]), expected)


@torch.no_grad()
def test_attention_is_told_nothing_of_the_anchors(detector: FQDetV2) -> None:
    """The same as an encoding of zeros; of FQDet any other one changes the queries."""
    features, shapes = torch.randn(1, 12 * 16, 16, generator=torch.Generator().manual_seed(1)), [(12, 16)] * 3
    features = features.repeat(1, 3, 1)
    queries = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(2))
    corner = torch.rand(1, 6, 2, generator=torch.Generator().manual_seed(3)) / 2
    anchors = torch.cat((corner, corner + 0.3), dim=-1)
    layer = detector.decoder[0]
    plain = layer(queries, None, anchors, features, shapes)
    torch.testing.assert_close(layer(queries, torch.zeros_like(queries), anchors, features, shapes), plain)
    assert not torch.allclose(layer(queries, torch.ones_like(queries), anchors, features, shapes), plain, atol=1e-3)


@pytest.mark.parametrize(("overlap", "kept"), [(0.6, 2), (0.64, 2), (0.66, 1)])
def test_suppression_from_an_overlap_of_065(detector: FQDetV2, overlap: float, kept: int) -> None:
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 100 * overlap]])[None]
    logits = torch.full((1, 2, 6), -20.0)
    logits[0, :, 1] = torch.tensor([2.0, 1.0])
    output = FQDetOutput(
        selection_logits=torch.zeros(1, 9),
        anchor_index=torch.arange(2)[None],
        anchor_boxes=boxes,
        queries=torch.zeros(1, 2, 16),
        class_logits=logits,
        deltas=torch.zeros(1, 2, 4),
        boxes=boxes,
    )
    found = detector.detections(output)
    assert int((found.scores > 0.5).sum()) == kept
    first = fqdet.build(fqdet.PRESETS["small"], 64, 5).detections(output)
    assert int((first.scores > 0.5).sum()) == 1


def test_each_loss_teaches_its_own_part(detector: FQDetV2) -> None:
    """All of them together teach everything that both heads and selection have."""
    boxes, labels = [torch.tensor([[8.0, 8, 40, 40], [20, 4, 60, 30]])] * 2, [torch.tensor([1, 3])] * 2
    losses, learned = detector.learn(pyramid(), SIZE, boxes, labels, true_boxes=True)
    assert [of.object.tolist() for of in learned] == [[0, 1]] * 2
    named = dict(detector.named_parameters())
    reached = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, tuple(named.values()), retain_graph=True, allow_unused=True)
        reached[name] = {
            parameter.partition(".")[0]
            for parameter, gradient in zip(named, gradients, strict=True)
            if gradient is not None and gradient.any()
        }
    assert reached == {
        "selection": {"selector"},
        "class": {"class_head", "decoder", "transition"},
        "box": {"box_head", "decoder", "transition"},
    }


def test_learns_by_its_own_losses(detector: FQDetV2) -> None:
    boxes, labels = [torch.tensor([[8.0, 8, 40, 40]]), torch.empty(0, 4)], [torch.tensor([2]), torch.empty(0).long()]
    maps = pyramid()
    losses, _ = detector.learn(maps, SIZE, boxes, labels)
    expected, _ = quality_losses(detector(maps, SIZE), boxes, labels, detector.anchors(maps))
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    assert losses.keys() == expected.keys()


def test_an_image_without_objects(detector: FQDetV2) -> None:
    boxes, labels = [torch.empty(0, 4)] * 2, [torch.empty(0, dtype=torch.long)] * 2
    for true_boxes in (False, True):
        losses, learned = detector.learn(pyramid(), SIZE, boxes, labels, true_boxes=true_boxes)
        assert losses["box"].item() == 0
        assert losses["class"].item() > 0
        assert all(of.queries.shape == (0, 16) and len(of.boxes) == len(of.object) == 0 for of in learned)
        sum(losses.values(), torch.zeros(())).backward()


def test_the_catalogue_names_every_detector_module() -> None:
    for name in DETECTORS:
        module = importlib.import_module(f"bench.detector.{name}")
        assert {"paper", "small"} <= set(module.PRESETS)
        assert callable(module.build)
