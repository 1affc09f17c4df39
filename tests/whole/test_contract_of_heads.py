"""The contract of `heads/_contract.py`, held against every head of the folder: a new file is tested by being there.

EffSeg's head is held against it once more for every processing module and every backend of their folders.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

import heads
from bench.rulers.multiply_adds import count_torch, counting
from heads import Detections, Stage, Targets, _pointwise
from heads._compose import compose
from sparsity import Unsupported, names

CHANNELS, QUERY_SIZE, NUM_CLASSES = 16, 24, 5
IMAGE_SIZE = (96, 128)
BOXES = (
    (8.0, 10.0, 60.0, 70.0),
    (-20.0, 30.0, 40.0, 120.0),  # reaches out of the image
    (100.0, 5.0, 112.0, 15.0),
    (300.0, 300.0, 340.0, 350.0),  # lies outside altogether
    (0.0, 0.0, 128.0, 96.0),
)
IMAGES = (0, 0, 0, 1, 1)
LABELS = (0, 4, 2, 1, 3)

Variant = tuple[str, Mapping[str, str | bool]]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors are too small here to share the work: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def variants() -> list[Variant]:
    """Every head with each of its small presets, and each choice it has: where it reads, module, backend."""
    found: list[Variant] = []
    for name in names("heads"):
        fields = {field.name for field in dataclasses.fields(heads.head(name).Config)}
        if {"module", "backend"} <= fields:
            pairs = [(module, backend) for module in names("heads._modules") for backend in names("sparsity")]
            found += [(name, {"module": module, "backend": backend}) for module, backend in pairs]
        else:
            found.append((name, {}))
        others = [preset for preset in heads.head(name).PRESETS if preset.startswith("small_")]
        found += [(name, {"preset": preset}) for preset in others]
        choices = ("fade_at_border", "stretch_maps")
        found += [(name, {choice: True}) for choice in choices if choice in fields]
    return found


def build(variant: Variant, dtype: torch.dtype = torch.float32) -> Any:
    name, choices = variant
    module = heads.head(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = module.PRESETS[str(choices.get("preset", "small"))]
        config = dataclasses.replace(config, **{part: value for part, value in choices.items() if part != "preset"})
        return module.build(config, CHANNELS, QUERY_SIZE, NUM_CLASSES).to(dtype)


def make_pyramid(dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {k: (2, CHANNELS, *(math.ceil(side / 2**k) for side in IMAGE_SIZE)) for k in range(2, 8)}
    return {k: torch.randn(size, generator=generator, dtype=dtype).to(device) for k, size in sizes.items()}


def make_detections(which: list[int], dtype: torch.dtype = torch.float32) -> Detections:
    """The regions `which` of the scene, one prediction each, with only the images that have some; both without any."""
    queries = torch.randn(len(BOXES), QUERY_SIZE, generator=torch.Generator().manual_seed(2), dtype=dtype)
    image = torch.tensor([IMAGES[i] for i in which], dtype=torch.int64)
    first, last = min((IMAGES[i] for i in which), default=0), max((IMAGES[i] for i in which), default=1)
    counts = tuple(sum(IMAGES[i] == b for i in which) for b in range(first, last + 1))
    return Detections(
        boxes=torch.tensor([BOXES[i] for i in which], dtype=dtype).view(-1, 4),
        image=image - first,
        queries=queries[which],
        region=torch.arange(len(which)),
        labels=torch.tensor([LABELS[i] for i in which], dtype=torch.int64),
        scores=torch.linspace(0.9, 0.1, len(which), dtype=dtype),
        region_counts=counts,
        prediction_counts=counts,
        image_size=IMAGE_SIZE,
    )


def make_targets(detections: Detections) -> Targets:
    """A disc, an ellipse and an empty object in turn."""
    rows = torch.arange(IMAGE_SIZE[0]).view(-1, 1)
    columns = torch.arange(IMAGE_SIZE[1]).view(1, -1)
    disc = (rows - 40) ** 2 + (columns - 34) ** 2 < 24**2
    ellipse = (rows - 60) ** 2 + (columns - 60) ** 2 / 4 < 22**2
    num_regions = len(detections.boxes)
    return Targets(
        masks=torch.stack([disc, ellipse, torch.zeros_like(disc)]),
        image=torch.tensor([0, 0, 1]),
        index=torch.arange(num_regions) % 3,
        boxes=detections.boxes,
        image_sizes=torch.tensor(IMAGE_SIZE, dtype=detections.boxes.dtype).expand(num_regions, 2),
    )


def run(function: Callable[[], Any]) -> Any:
    """Call a head; what a backend declares it cannot do is no failure."""
    try:
        return function()
    except Unsupported as error:
        pytest.skip(str(error))


def name_of(variant: Variant) -> str:
    name, choices = variant
    return "-".join([name, *(key if value is True else str(value) for key, value in choices.items())])


def has_a_part_of_its_own(variant: Variant) -> bool:
    """Whether it is no pair of a module and a backend that both have others: every module is on SPS, MLP on all.

    Masks and gradients of all pairs are held equal to those on masked dense by `test_heads_on_backends.py`.
    """
    _, choices = variant
    return "module" not in choices or choices["backend"] == "sps" or choices["module"] == "mlp"


ALL = list(range(len(BOXES)))
MANY = sorted(300 // len(BOXES) * ALL)
pair_case = pytest.mark.parametrize("variant", variants(), ids=name_of)
variant_case = pytest.mark.parametrize("variant", list(filter(has_a_part_of_its_own, variants())), ids=name_of)
head_case = pytest.mark.parametrize("name", names("heads"))


def check_shapes(variant: Variant, training: bool) -> None:
    head, detections = build(variant).train(training), make_detections(ALL)
    stages = run(lambda: head(make_pyramid(), detections, torch.Generator().manual_seed(3)))
    num_regions = len(BOXES)
    assert stages[0].region is None, "the first stage covers the whole region"
    for stage in stages:
        assert stage.mask_logits.isfinite().all()
        if stage.refine_logits is not None:
            assert stage.refine_logits.shape == stage.mask_logits.shape
        if stage.quality is not None:
            assert stage.quality.shape == (num_regions,)
            assert ((stage.quality >= 0) & (stage.quality <= 1)).all()
        if stage.region is None:
            assert stage.point is None
            assert stage.mask_logits.shape == (num_regions, stage.side, stage.side)
        else:
            assert stage.overwrite == "selected"
            assert stage.mask_logits.shape == stage.region.shape
            assert stage.point.shape == (len(stage.region), 2)
            assert ((stage.point >= 0) & (stage.point <= 1)).all()
            assert ((stage.region >= 0) & (stage.region < num_regions)).all()
    if not training:
        sides = [stage.side for stage in stages]
        assert sides == [sides[0] * 2**step for step in range(len(sides))]
        masks = compose(stages)
        assert masks.shape == (num_regions, sides[-1], sides[-1])
        assert masks.isfinite().all()


def check_gradients(variant: Variant) -> None:
    head, detections = build(variant).train(), make_detections(ALL)
    stages = run(lambda: head(make_pyramid(), detections, torch.Generator().manual_seed(3)))
    losses = head.loss(stages, make_targets(detections))
    assert all(loss.ndim == 0 and loss.isfinite() and loss > 0 for loss in losses.values()), losses
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, f"{name} is not in the graph"
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"the gradient of {name} is zero everywhere"


def check_no_regions(variant: Variant) -> None:
    head, detections = build(variant), make_detections([])
    stages = run(lambda: head.train()(make_pyramid(), detections, torch.Generator().manual_seed(3)))
    losses = head.loss(stages, make_targets(detections))
    assert all(loss == 0 for loss in losses.values()), losses
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, f"{name} is not in the graph"
        assert (parameter.grad == 0).all(), name
    with torch.no_grad():
        stages = head.eval()(make_pyramid(), detections)
    assert compose(stages).shape == (0, stages[-1].side, stages[-1].side)


@pair_case
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_stages_have_the_shapes_of_the_contract(variant: Variant, training: bool) -> None:
    check_shapes(variant, training)


@pair_case
def test_losses_are_finite_and_reach_every_parameter(variant: Variant) -> None:
    check_gradients(variant)


@pair_case
def test_without_regions_losses_and_gradients_are_zero(variant: Variant) -> None:
    check_no_regions(variant)


@pytest.mark.usefixtures("unchecked")
@variant_case
@torch.no_grad()
def test_an_image_does_not_depend_on_its_batch(variant: Variant) -> None:
    # Double precision: a rounding difference must not change which cells are selected.
    head, pyramid = build(variant, torch.float64).eval(), make_pyramid(torch.float64)
    # The region outside the image is left out: all its cells are alike, so rounding alone chooses among them.
    together = compose(run(lambda: head(pyramid, make_detections([0, 1, 2, 4], torch.float64))))
    first = compose(head({k: level[:1] for k, level in pyramid.items()}, make_detections([0, 1, 2], torch.float64)))
    second = compose(head({k: level[1:] for k, level in pyramid.items()}, make_detections([4], torch.float64)))
    torch.testing.assert_close(together, torch.cat([first, second]), rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("unchecked")
@variant_case
def test_inference_in_blocks_equals_what_has_gradients(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pointwise, "BLOCK_NUMBERS", 5000)  # several blocks of a map, of which the last is shorter
    head, pyramid = build(variant, torch.float64).eval(), make_pyramid(torch.float64)
    detections = make_detections([0, 1, 2, 4], torch.float64)
    expected = compose(run(lambda: head(pyramid, detections))).detach()
    with torch.inference_mode():
        found = compose(head(pyramid, detections))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.usefixtures("unchecked")
@variant_case
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_the_same_generator_gives_the_same_stages(variant: Variant, training: bool) -> None:
    head, pyramid, detections = build(variant).train(training), make_pyramid(), make_detections(ALL)

    def stages() -> list[Stage]:
        return run(lambda: head(pyramid, detections, torch.Generator().manual_seed(3)))

    for one, other in zip(stages(), stages(), strict=True):
        assert torch.equal(one.mask_logits, other.mask_logits)
        if one.point is not None:
            assert torch.equal(one.region, other.region)
            assert torch.equal(one.point, other.point)


@pytest.mark.usefixtures("unchecked")
@variant_case
@torch.no_grad()
def test_a_class_specific_head_reads_labels_and_another_does_not(variant: Variant) -> None:
    head, detections = build(variant).eval(), make_detections(ALL)
    relabelled = dataclasses.replace(detections, labels=(detections.labels + 1) % NUM_CLASSES)
    one, other = (run(lambda d=d: head(make_pyramid(), d))[0].mask_logits for d in (detections, relabelled))
    assert torch.equal(one, other) is not head.class_specific


@pytest.mark.usefixtures("unchecked")
@variant_case
@torch.no_grad()
def test_duplicated_predictions_have_equal_masks(variant: Variant) -> None:
    detections = make_detections(ALL)
    twice = dataclasses.replace(
        detections,
        region=detections.region.repeat_interleave(2),
        labels=detections.labels.repeat_interleave(2),
        scores=detections.scores.repeat_interleave(2),
        prediction_counts=tuple(2 * count for count in detections.prediction_counts),
    )
    head = build(variant).eval()
    masks = compose(run(lambda: head(make_pyramid(), twice.per_prediction() if head.class_specific else twice)))
    if head.class_specific:
        torch.testing.assert_close(masks[0::2], masks[1::2])
    else:
        assert len(masks) == len(BOXES)


def check_without_values(name: str, preset: str) -> None:
    # Costs are counted on the meta device and in a trace: no shape may depend on a value, in the constructor neither.
    # As many regions as a detector of the paper can have at most.
    with torch.device("meta"):
        head = heads.head(name).build(heads.head(name).PRESETS[preset], 256, 256, 80).eval()
    detections = make_detections(MANY)
    tensors = {field.name: getattr(detections, field.name) for field in dataclasses.fields(detections)}
    tensors = {key: value.to("meta") if isinstance(value, Tensor) else value for key, value in tensors.items()}
    tensors["queries"] = torch.empty(len(MANY), 256, device="meta")
    pyramid = {k: torch.empty(2, 256, *level.shape[2:], device="meta") for k, level in make_pyramid().items()}
    with counting():  # torch alone takes seconds for the shape of a grid_sample
        _, masks = count_torch(lambda: compose(head(pyramid, Detections(**tensors))))
    assert masks.device.type == "meta"
    assert masks.shape[0] == len(MANY)


@head_case
def test_it_is_built_and_runs_without_values(name: str) -> None:
    for preset in heads.head(name).PRESETS:
        check_without_values(name, preset)


class Traceable(nn.Module):
    """A head as a function of tensors."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, boxes: Tensor, queries: Tensor, *levels: Tensor) -> Tensor:
        detections = dataclasses.replace(make_detections(ALL), boxes=boxes, queries=queries)
        return compose(self.head(dict(enumerate(levels, start=2)), detections))


@pair_case
@torch.no_grad()
def test_a_trace_repeats_the_head(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    # Under a trace sizes are tensors, which the run-time type checks do not take for numbers.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    head, detections = Traceable(build(variant).eval()), make_detections(ALL)
    inputs = (detections.boxes, detections.queries, *make_pyramid().values())
    expected = run(lambda: head(*inputs))
    traced = torch.jit.trace(head, inputs, check_trace=False)
    with torch.jit.optimized_execution(False):
        torch.testing.assert_close(traced(*inputs), expected)


TOY_HEAD = '''
"""One logit per region, everywhere."""

from dataclasses import dataclass

from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heads import Stage
from heads._targets import coverage


@dataclass(frozen=True, kw_only=True)
class Config:
    side: int = 28


PRESETS = {"paper": Config(), "small": Config(side=14)}


class Toy(nn.Module):
    class_specific = False

    def __init__(self, side, query_size):
        super().__init__()
        self.side = side
        self.logits = nn.Linear(query_size, side * side)

    def forward(self, pyramid, detections, generator=None):
        return [Stage(side=self.side, mask_logits=self.logits(detections.queries).view(-1, self.side, self.side))]

    def loss(self, stages, targets):
        (stage,) = stages
        wanted = coverage(targets, self.side).to(stage.mask_logits.dtype)
        return {"mask": binary_cross_entropy_with_logits(stage.mask_logits, wanted, reduction="sum") / self.side**2}


def build(config, pyramid_channels, query_size, num_classes):
    return Toy(config.side, query_size)
'''


def test_a_file_dropped_into_the_folder_is_a_tested_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_logit.py").write_text(TOY_HEAD, encoding="utf-8")
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    variant: Variant = ("one_logit", {})
    assert variant in variants()
    check_shapes(variant, training=False)
    check_gradients(variant)
    check_no_regions(variant)
    check_without_values("one_logit", "paper")


def test_a_constructor_that_looks_at_values_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = "self.logits = nn.Linear(len(torch.ones(query_size).nonzero()), side * side)"
    code = TOY_HEAD.replace("self.logits = nn.Linear(query_size, side * side)", looks)
    (tmp_path / "looking.py").write_text(code.replace("from torch import nn", "import torch\nfrom torch import nn"))
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    check_shapes(("looking", {}), training=False)
    with pytest.raises(NotImplementedError):
        check_without_values("looking", "paper")
