"""Costs: the paper's numbers at its operating point, and two rulers that agree."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jaxtyping
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

import heads.point_rend
from bench.contract import Context
from bench.data.layout import coco_layout
from bench.model.build import build
from bench.names import MODEL_PARTS
from bench.probes import flops
from bench.record import Subject
from bench.rulers.multiply_adds import Count, counting
from sparsity import names
from tests.bench.found import numbers_at, rows_at

HEADS = names("heads")
SIZE = (128, 160)

# Table 3 minus Table 4: the detector; Table 4: the heads, transposed convolutions counted as the paper did.
PAPER_DETECTOR = 165.1
PAPER_HEADS = {"mask_rcnn": 70.3, "point_rend": 137.8, "refine_mask": 281.2, "effseg": 80.3}
CORRECT_HEADS = {"mask_rcnn": 55.5, "point_rend": 122.9}
# At 97 regions, computed from the layers of heads that the paper does not have, with samples and pasting.
OTHER_HEADS = {
    "bmask": 102.9,
    "query_dot": 38.3,
    "two_way": 36.3,
    "patch_dct": 494.8,
    "transfiner": 979.2,
    "boundary_former": 32.9,
}
# Table 5 and the DefEnc rows of Table 3: totals.
PAPER_MODULES = {"mlp": 227.3, "conv": 234.0, "deform_conv": 235.0, "sfm": 245.4, "dense_sfm": 337.3}
PAPER_DEFENC = {"mask_rcnn": 321.8, "point_rend": 387.4, "refine_mask": 529.1, "effseg": 332.6}


def subject(head: str, module: str = "sfm", backbone: str = "r50_fpn", preset: str = "paper") -> Subject:
    effseg = {"backend": "sps", "module": module} if head == "effseg" else {}
    return Subject(head=head, backbone=backbone, preset=preset, **effseg)


def nominal(subject: Subject) -> dict[str, float]:
    """GMACs by part, without the second ruler."""
    with counting():
        images, regions = flops.nominal_counts(subject, Context())
    totals = {part: sum(image[part].torch.total for image in images) / len(images) / 1e9 for part in MODEL_PARTS}
    old = sum(image["head"].torch.old_deconvolution for image in images) / len(images) / 1e9
    detector = totals["backbone"] + totals["neck"] + totals["detector"]
    mean_regions = sum(regions) / len(regions)
    return {"detector": detector, "head": totals["head"], "head_paper": totals["head"] + old, "regions": mean_regions}


@pytest.fixture
def one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """800 x 1112, the paper's mean image area, instead of the nominal protocol's 41 sizes: as good for most heads."""
    monkeypatch.setattr(flops, "nominal_sizes", lambda: [(800, 1112)])


@pytest.mark.parametrize("head", PAPER_HEADS)
def test_costs_of_table_4(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two sizes with that mean area: RefineMask++ computes something for every cell of an image as a whole.
    sizes = [(800, 1112)] if head != "refine_mask" else [(800, 1024), (800, 1200)]
    monkeypatch.setattr(flops, "nominal_sizes", lambda: sizes)
    gmacs = nominal(subject(head))
    assert gmacs["head_paper"] == pytest.approx(PAPER_HEADS[head], rel=0.01)
    assert gmacs["head"] == pytest.approx(CORRECT_HEADS.get(head, PAPER_HEADS[head]), rel=0.01)
    assert gmacs["detector"] == pytest.approx(PAPER_DETECTOR, rel=0.005)
    assert gmacs["regions"] == (60.5 if head == "effseg" else 97)


@pytest.mark.usefixtures("one_size")
@pytest.mark.parametrize("head", OTHER_HEADS)
def test_costs_of_other_heads(head: str) -> None:
    with counting():
        ((counts,), _) = flops.nominal_counts(subject(head), Context(regions=97))
    assert counts["head"].torch.total / 1e9 == pytest.approx(OTHER_HEADS[head], rel=0.01)


@pytest.mark.usefixtures("one_size")
@pytest.mark.parametrize("module", PAPER_MODULES)
def test_costs_of_table_5(module: str) -> None:
    gmacs = nominal(subject("effseg", module))
    assert gmacs["detector"] + gmacs["head"] == pytest.approx(PAPER_MODULES[module], rel=0.01)


def test_point_rend_with_two_steps() -> None:
    """To 112x112, as the paper's text says; its cost fits three steps."""
    config = dataclasses.replace(heads.point_rend.PRESETS["paper"], steps=2)
    with torch.device("meta"):
        model = build(subject("point_rend"))
        model.head = heads.point_rend.build(config, 256, 256, 80)
    with counting():
        _, pyramid = flops._meta_detector(subject("mask_rcnn"), (800, 1112))
        count, _ = flops._count_head(model.eval(), pyramid, flops._meta_regions(97, pyramid), (800, 1112))
    assert (count.torch.total + count.torch.old_deconvolution) / 1e9 == pytest.approx(114.5, abs=0.5)
    assert count.torch.total / 1e9 == pytest.approx(99.5, abs=0.5)


@pytest.mark.usefixtures("one_size")
@pytest.mark.parametrize("head", PAPER_DEFENC)
def test_costs_with_the_deformable_encoder(head: str) -> None:
    gmacs = nominal(subject(head, backbone="r50_defenc"))
    assert gmacs["detector"] + gmacs["head_paper"] == pytest.approx(PAPER_DEFENC[head], rel=0.01)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under fvcore's trace sizes are tensors, which the run-time type checks do not take for numbers."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def pyramid_of(subject: Subject) -> tuple[Tensor, ...]:
    """Maps of the sizes that the detector gives for an image of 128 x 160; a head's cost hangs on no value in them."""
    with counting():
        _, shapes = flops._meta_detector(flops._any_head(subject), SIZE)
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(level.shape, generator=generator) for level in shapes)


def assert_rulers_agree(counts: Mapping[str, flops.Ruled]) -> None:
    for part, count in counts.items():
        assert isinstance(count.fvcore, Count)
        assert count.torch.conv_and_matmul == count.fvcore.conv_and_matmul > 0, part
        assert count.torch.macs == count.fvcore.macs, part


def assert_rulers_agree_on_the_head(subject: Subject) -> None:
    model, pyramid = build(subject).eval(), pyramid_of(subject)
    with counting():
        count, _ = flops._count_head(model, pyramid, flops._random_regions(5, pyramid), SIZE, fvcore=True)
    assert_rulers_agree({"head": count})


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("module", names("heads._modules"))
def test_rulers_agree_on_every_processing_module(module: str) -> None:
    assert_rulers_agree_on_the_head(subject("effseg", module, "small_fpn", "small"))


# Other heads are made of the same layers in both sizes. The backbone is the small one: a head does not see which it is.
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("head", "preset"), [*((head, "small") for head in HEADS), *((head, "paper") for head in PAPER_HEADS)]
)
def test_rulers_agree_on_every_head(head: str, preset: str) -> None:
    assert_rulers_agree_on_the_head(subject(head, backbone="small_fpn", preset=preset))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("backbone", "preset", "detector"),
    [
        ("small_fpn", "small", None),
        ("small_fpn", "small", "fqdetv2"),
        ("r50_fpn", "paper", None),
        ("r50_defenc", "paper", None),
    ],
)
def test_rulers_agree_on_everything_before_the_head(backbone: str, preset: str, detector: str | None) -> None:
    model = build(replace(subject("mask_rcnn", backbone=backbone, preset=preset), detector=detector)).eval()
    with counting():
        counts, _, _ = flops._count_detector(model, torch.zeros(1, 3, *SIZE), fvcore=True)
    assert counts.keys() == {"backbone", "neck", "detector"}
    assert_rulers_agree(counts)


def decoded(num_queries: int, hidden: int, *others: int) -> int:
    """Multiply-adds by hand of all that is done once a query: six layers, the transition, and `others`."""
    width, norm = 256, 5 * 256
    samples = 6 * 8 * 32  # levels x heads x channels of a head, read bilinearly and weighted
    cross = width * 6 * 8 * 3 + width**2 + 4 * samples + samples
    attention = 4 * width**2 + 2 * width * num_queries
    layer = cross + attention + 2 * width * hidden + 3 * norm
    transition = width**2 + 4 * width  # the gain and shift of its norm are element-wise operations
    return num_queries * (6 * layer + transition + sum(others))


@pytest.mark.usefixtures("one_size")
def test_costs_of_the_second_detector() -> None:
    """All that differs from the paper's is done once a query; selection and values are of the pyramid."""
    subjects = [subject("mask_rcnn"), replace(subject("mask_rcnn"), detector="fqdetv2")]
    with counting():
        first, second = (flops.nominal_counts(of, Context(regions=97))[0][0] for of in subjects)
    assert all(first[part].torch.total == second[part].torch.total for part in ("backbone", "neck", "head"))
    width, norm = 256, 5 * 256
    encoding = 4 * width + width**2 + norm
    v1 = decoded(300, 1024, encoding, 2 * (2 * width**2 + 2 * norm), (81 + 4) * width)
    v2 = decoded(600, 2048, 3 * width**2 + norm, (81 + 4) * width)
    assert second["detector"].torch.total - first["detector"].torch.total == v2 - v1


def test_regions_of_the_second_detector_must_be_given() -> None:
    """Those that explain the paper's totals are of the paper's detector."""
    second = replace(subject("mask_rcnn"), detector="fqdetv2")
    with pytest.raises(ValueError, match=r"r50_fpn with fqdetv2 .* give their number as `regions`"):
        flops.protocol(second, Context())
    assert flops.protocol(second, Context(regions=80))["regions"] == "80"


def assert_costs_are_equal(real: flops.Ruled, meta: flops.Ruled) -> None:
    # On a CPU a pointwise layer may be a convolution and RoIAlign a sum of samples: other kinds, equal costs.
    assert real.torch.total == meta.torch.total
    assert real.torch.conv_and_matmul == meta.torch.conv_and_matmul


@pytest.mark.parametrize("head", HEADS)
def test_meta_tensors_cost_in_a_head_what_real_ones_cost(head: str) -> None:
    small = subject(head, backbone="small_fpn", preset="small")
    pyramid = pyramid_of(small)
    shapes = tuple(level.to("meta") for level in pyramid)
    with counting():
        real, _ = flops._count_head(build(small).eval(), pyramid, flops._random_regions(5, pyramid), SIZE)
        meta, _ = flops._count_head(flops._meta_model(small), shapes, flops._meta_regions(5, shapes), SIZE)
    assert_costs_are_equal(real, meta)


def test_meta_tensors_cost_before_the_head_what_real_ones_cost() -> None:
    small = subject("mask_rcnn", backbone="small_fpn", preset="small")
    with counting():
        real, pyramid, _ = flops._count_detector(build(small).eval(), torch.zeros(1, 3, *SIZE))
        meta, shapes, _ = flops._count_detector(flops._meta_model(small), torch.zeros(1, 3, *SIZE, device="meta"))
    assert [level.shape for level in pyramid] == [level.shape for level in shapes]
    for part, count in real.items():
        assert_costs_are_equal(count, meta[part])


def test_regions_can_be_given_and_must_be_for_other_models() -> None:
    small = subject("mask_rcnn", backbone="small_fpn", preset="small")
    with pytest.raises(ValueError, match="give their number as `regions`"):
        flops.protocol(small, Context())
    assert flops.protocol(small, Context(regions=7))["regions"] == "7"


@pytest.mark.usefixtures("traced")
def test_measured_costs_follow_the_detections(coco_mini: Path) -> None:
    small = subject("effseg", backbone="small_fpn", preset="small")
    detected = flops.measure(small, Context(data=coco_layout(coco_mini), images=2))
    annotated = flops.measure(small, Context(data=coco_layout(coco_mini), images=2, detections="ground_truth"))
    for measurement in (detected, annotated):
        values = numbers_at(measurement)
        assert values["images"] == 2
        torch_, fvcore = (numbers_at(measurement, ruler=ruler) for ruler in ("torch", "fvcore"))
        assert torch_ == fvcore
        assert torch_.keys() == {"check_macs_conv_matmul"}
        of_parts = [numbers_at(measurement, ruler="torch", part=part)["check_macs"] for part in MODEL_PARTS]
        assert sum(of_parts) >= torch_["check_macs_conv_matmul"]
        assert values["macs"] == pytest.approx(sum(values[f"macs_{part}"] for part in MODEL_PARTS))
        assert len(measurement.samples["macs_head"]) == 2
        units = {name: row.unit for name, row in rows_at(measurement).items()}
        assert (units["macs_head"], units["regions"], units["images"]) == ("MACs", "regions", "images")
    fewer, more = numbers_at(annotated), numbers_at(detected)
    assert fewer["regions"] < more["regions"]
    assert fewer["macs_head"] < more["macs_head"]
    assert fewer["macs_detector"] == more["macs_detector"]
