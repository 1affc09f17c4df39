"""FQDet: parameters of the paper, selection, gradients everywhere, images apart, shapes that depend on no data.

What both versions share is tested on both.
"""

import dataclasses

import pytest
import torch
from torch import Tensor

from bench.detector.anchors import best_anchors
from bench.detector.contract import Detector
from bench.detector.deform_encoder import DeformEncoder
from bench.detector.fqdet import PRESETS, Config, FQDet
from bench.detector.fqdetv2 import FQDetV2
from bench.detector.output import FQDetOutput
from heads import MultiScaleDeformableAttention

SIZE = (128, 160)
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


def pyramid(channels: int = 16, batch: int = 2, size: tuple[int, int] = SIZE, device: str = "cpu") -> dict[int, Tensor]:
    """Random P2..P7: more levels than TINY uses."""
    generator = None if device == "meta" else torch.Generator().manual_seed(3)
    return {
        k: torch.randn(batch, channels, -(-size[0] // 2**k), -(-size[1] // 2**k), generator=generator, device=device)
        for k in range(2, 8)
    }


@pytest.fixture(scope="module", params=[FQDet, FQDetV2])
def detector(request: pytest.FixtureRequest) -> FQDet:
    torch.manual_seed(0)
    kind: type[FQDet] = request.param
    return kind(TINY, num_classes=5).eval()


def test_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        parts = FQDet(Config(), 80).named_children()
    counts = {name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in parts}
    assert counts == {
        "selector": 139_401,
        "transition": 596_736,
        "anchor_encoding": 67_584,
        "decoder": 5_753_184,
        "class_head": 153_425,
        "box_head": 133_636,
    }
    assert sum(counts.values()) == 6_843_966


def test_selection_starts_at_its_prior() -> None:
    torch.manual_seed(0)
    detector = FQDet(Config(), 80)
    torch.testing.assert_close(detector.selector.logits.bias, torch.full((9,), -4.595), atol=1e-3, rtol=0)
    logits = detector.selector(torch.randn(1, 256, 40, 40))
    assert logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("preset", PRESETS)
def test_runs_without_data(preset: str) -> None:
    """On meta tensors every shape must be known beforehand."""
    config = PRESETS[preset]
    with torch.device("meta"):
        detector = FQDet(config, 80)
    output = detector(pyramid(config.channels, device="meta"), SIZE)
    assert output.queries.shape == (2, config.num_queries, config.channels)
    assert output.class_logits.shape == (2, config.num_queries, 81)


def test_can_be_traced(detector: FQDet) -> None:
    class Boxes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, *maps: Tensor) -> Tensor:
            return self.detector(dict(enumerate(maps, start=2)), SIZE).boxes

    maps = tuple(pyramid().values())
    with torch.no_grad():
        traced = torch.jit.trace(Boxes(), maps, check_trace=False)
        torch.testing.assert_close(traced(*maps), Boxes()(*maps))


@torch.no_grad()
def test_selects_the_best_scored_anchors(detector: FQDet) -> None:
    output = detector(pyramid(), SIZE)
    anchors = detector.anchors(pyramid())
    assert output.selection_logits.shape == (2, len(anchors))
    assert len(anchors) == 9 * (16 * 20 + 8 * 10 + 4 * 5)
    torch.testing.assert_close(output.anchor_boxes, anchors[output.anchor_index])
    best = output.selection_logits.sort(dim=1, descending=True).values[:, :12]
    torch.testing.assert_close(output.selection_logits.gather(1, output.anchor_index), best)


@torch.no_grad()
def test_selection_logits_belong_to_their_anchors(detector: FQDet) -> None:
    """Channel a of the last convolution, at a row and column of a level, is the logit of that cell's anchor a."""
    maps = pyramid()
    logits = detector(maps, SIZE).selection_logits
    for level, before, (row, column), kind in (
        (3, 0, (15, 19), 8),
        (4, 16 * 20, (2, 7), 4),
        (5, 16 * 20 + 80, (3, 0), 0),
    ):
        of_level = detector.selector.logits(detector.selector.layers(maps[level]))
        index = (before + row * maps[level].shape[-1] + column) * 9 + kind
        torch.testing.assert_close(logits[:, index], of_level[:, kind, row, column])
        box = detector.anchors(maps)[index]
        torch.testing.assert_close((box[:2] + box[2:]) / 2, (torch.tensor([column, row]) + 0.5) * 2**level)


@torch.no_grad()
def test_queries_start_from_the_cell_of_their_anchor(detector: FQDet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        type(detector.transition), "forward", lambda self, features, kind: seen.append((features, kind)) or features
    )
    maps = pyramid()
    wanted = torch.tensor([(16 * 20 + 3 * 10 + 4) * 9 + 5])  # level 4, row 3, column 4, type 5
    output = detector(maps, SIZE, include=[wanted, wanted])
    features, kind = seen[0]
    for image in range(2):
        query = (output.anchor_index[image] == wanted).nonzero().item()
        assert torch.equal(features[image, query], maps[4][image, :, 3, 4])
        assert kind[image, query] == 5


def test_queries_read_the_pyramid_within_their_anchor() -> None:
    """At the start a head looks at a corner or at the middle of an edge; nothing farther than a cell is touched."""
    torch.manual_seed(0)
    detector = FQDet(dataclasses.replace(TINY, num_queries=1, num_layers=1), num_classes=5)
    maps = {k: v.requires_grad_() for k, v in pyramid(batch=1).items()}
    wanted = torch.tensor([(16 * 20 + 3 * 10 + 6) * 9])  # level 4, centre (104, 56), 90.5 x 45.3 pixels
    output = detector(maps, SIZE, include=[wanted])
    left, top, right, bottom = output.anchor_boxes[0, 0].tolist()
    output.queries.sum().backward()
    for level in (3, 4, 5):
        stride = 2**level
        gradient = maps[level].grad
        assert gradient is not None
        touched = gradient[0].any(dim=0).nonzero() * stride + stride / 2
        y, x = touched.unbind(dim=1)
        assert ((x > left - stride) & (x < right + stride) & (y > top - stride) & (y < bottom + stride)).all()
        # Left and right of the centre and above and below it, up to the anchor's border within the image.
        assert x.min() < max(left, 0) + stride
        assert x.max() > min(right, SIZE[1]) - stride
        assert y.min() < max(top, 0) + stride
        assert y.max() > min(bottom, SIZE[0]) - stride


@torch.no_grad()
def test_transition_equals_nine_layers(detector: FQDet) -> None:
    transition = FQDet(TINY, num_classes=5).transition
    for parameter in transition.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.ndim)))
    features = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(1))
    kind = torch.arange(40).view(2, 20) % 9
    output = transition(features, kind)
    for image, row in torch.cartesian_prod(torch.arange(2), torch.arange(20)).tolist():
        k = int(kind[image, row])
        normed = torch.nn.functional.layer_norm(
            features[image, row], (16,), transition.norm_weight[k], transition.norm_bias[k]
        )
        expected = normed.relu() @ transition.weight[k] + transition.bias[k]
        torch.testing.assert_close(output[image, row], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_fewer_anchors_than_queries(detector: FQDet) -> None:
    output = detector(pyramid(batch=1, size=(1, 1)), (1, 1))
    assert output.anchor_index.shape == (1, 12)
    config = dataclasses.replace(TINY, num_queries=50)
    output = FQDet(config, 5)(pyramid(batch=1, size=(1, 1)), (1, 1))
    assert sorted(output.anchor_index[0].tolist()) == list(range(27))


@torch.no_grad()
def test_included_anchors_replace_the_lowest_scored(detector: FQDet) -> None:
    plain = detector(pyramid(), SIZE)
    worst = plain.selection_logits[0].argmin()
    already = plain.anchor_index[0, 3]
    include = [torch.stack([worst, already, worst]), torch.empty(0, dtype=torch.long)]
    output = detector(pyramid(), SIZE, include=include)
    torch.testing.assert_close(output.selection_logits, plain.selection_logits)
    assert set(output.anchor_index[0].tolist()) == {*plain.anchor_index[0, :-1].tolist(), worst.item()}
    assert output.anchor_index[1].tolist() == plain.anchor_index[1].tolist()
    torch.testing.assert_close(output.queries[1], plain.queries[1])


@torch.no_grad()
def test_more_included_anchors_than_queries_are_that_many_queries(detector: FQDet) -> None:
    output = detector(pyramid(batch=1), SIZE, include=[torch.arange(13)])
    assert sorted(output.anchor_index[0].tolist()) == list(range(13))


@torch.no_grad()
def test_queries_at_given_boxes(detector: FQDet) -> None:
    maps = pyramid()
    boxes = [
        torch.tensor([[3.0, 3.0, 50.0, 60.0], [90.0, 20.0, 130.0, 50.0], [3.1, 3.0, 50.0, 60.0]]),
        torch.empty(0, 4),
    ]
    queries = detector.queries_at(maps, SIZE, boxes)
    best = best_anchors(boxes[0], detector.anchors(maps))[:, 0]
    assert best[0] == best[2] != best[1]
    output = detector(maps, SIZE, include=[best, best[:0]])
    for query, anchor in zip(queries[0], best, strict=True):
        assert torch.equal(query, output.queries[0, output.anchor_index[0].tolist().index(anchor)])
    assert torch.equal(queries[0][0], queries[0][2])
    assert queries[1].shape == (0, 16)


@torch.no_grad()
def test_an_image_does_not_see_the_others(detector: FQDet) -> None:
    maps = pyramid(batch=3)
    together = detector(maps, SIZE)
    for image in range(3):
        alone = detector({k: v[image : image + 1] for k, v in maps.items()}, SIZE)
        for field in dataclasses.fields(FQDetOutput):
            value = getattr(together, field.name)[image : image + 1]
            torch.testing.assert_close(getattr(alone, field.name), value, rtol=1e-4, atol=1e-5)


def test_every_parameter_learns() -> None:
    """With one anchor of every type among the queries, no parameter is without a gradient.

    Not at the very start: sampling offsets and attention weights begin as constants, so nothing before them learns.
    """
    torch.manual_seed(0)
    detector = FQDet(TINY, num_classes=5)
    with torch.no_grad():
        for layer in detector.decoder:
            layer.cross_attention.sampling_offsets.weight.normal_(std=0.1)
            layer.cross_attention.attention_weights.weight.normal_(std=0.1)
    output = detector(pyramid(batch=1), SIZE, include=[torch.arange(900, 909)])
    (output.selection_logits.sum() + output.class_logits.square().sum() + output.deltas.square().sum()).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        if name.startswith("transition"):
            assert parameter.grad.flatten(1).any(dim=1).all(), name


def test_selection_gets_no_gradient_from_the_decoder(detector: FQDet) -> None:
    maps = {k: v.requires_grad_() for k, v in pyramid().items()}
    output = detector(maps, SIZE)
    gradients = torch.autograd.grad(
        output.class_logits.sum() + output.deltas.sum(), tuple(detector.selector.parameters()), allow_unused=True
    )
    assert all(gradient is None for gradient in gradients)


def test_only_sampling_offsets_are_called_offset() -> None:
    """Optimizer groups go by this name."""
    with torch.device("meta"):
        detector, neck = FQDet(Config(), 80), DeformEncoder({2: 256, 3: 512, 4: 1024, 5: 2048})
    for module in (detector, neck):
        named = {name for name, _ in module.named_parameters() if "offset" in name}
        sampling = {
            f"{name}.sampling_offsets.{kind}"
            for name, part in module.named_modules()
            if isinstance(part, MultiScaleDeformableAttention)
            for kind in ("weight", "bias")
        }
        assert named == sampling
        assert len(named) == 12


@torch.no_grad()
def test_dtype_follows_the_features_and_boxes_stay_float32() -> None:
    torch.manual_seed(0)
    detector = FQDet(TINY, num_classes=5).to(torch.bfloat16)
    output = detector({k: v.bfloat16() for k, v in pyramid().items()}, SIZE)
    assert output.queries.dtype == output.class_logits.dtype == torch.bfloat16
    assert output.boxes.dtype == output.anchor_boxes.dtype == torch.float32


def test_is_a_detector(detector: FQDet) -> None:
    assert isinstance(detector, Detector)


def test_heads_learn_on_matched_or_true_boxes(detector: FQDet) -> None:
    detector.train()
    boxes, labels = [torch.tensor([[8.0, 8, 40, 40], [20, 4, 60, 30]])] * 2, [torch.tensor([1, 3])] * 2
    losses, learned = detector.learn(pyramid(), SIZE, boxes, labels)
    assert set(losses) == {"selection", "class", "box"}
    assert all(not of.boxes.requires_grad and of.queries.requires_grad for of in learned)
    assert all(set(of.object.tolist()) <= {0, 1} for of in learned)
    _, on_true = detector.learn(pyramid(), SIZE, boxes, labels, true_boxes=True)
    for of, places in zip(on_true, boxes, strict=True):
        torch.testing.assert_close(of.boxes, places)
        assert of.object.tolist() == [0, 1]
