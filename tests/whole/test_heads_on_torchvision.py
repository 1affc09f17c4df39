"""Every head on torchvision's detector: it predicts, it learns while the detector stays, its costs are measured."""

from pathlib import Path

import jaxtyping
import pytest
import torch

from bench.contract import Context
from bench.data.layout import coco_layout
from bench.data.samples import Objects, Sample, collate
from bench.model.build import build
from bench.model.segmenter import Segmenter
from bench.names import MODEL_PARTS
from bench.probes import flops, params, speed
from bench.record import Subject
from sparsity import names
from tests.bench.found import numbers_at


def subject(head: str, detector: str = "torchvision") -> Subject:
    effseg = {"backend": "sps", "module": "sfm"} if head == "effseg" else {}
    return Subject(head=head, backbone="r50_tvfpn", detector=detector, preset="small", **effseg)


def sample() -> Sample:
    """Sides that 32 does not divide, and two rectangles."""
    boxes = torch.tensor([[10.0, 10, 70, 80], [40, 30, 130, 100]])
    masks = torch.zeros(2, 110, 140, dtype=torch.bool)
    masks[0, 10:80, 10:70] = masks[1, 30:100, 40:130] = True
    return Sample(
        pixels=torch.randn(3, 110, 140, generator=torch.Generator().manual_seed(0)),
        image_id=1,
        input_size=(110, 140),
        original_size=(110, 140),
        objects=Objects(boxes=boxes, labels=torch.tensor([3, 7]), masks=masks),
    )


@pytest.fixture(scope="module")
def common() -> Segmenter:
    """Backbone, neck and detector, whose classes are told apart, with a head that is to be replaced."""
    model = build(subject("mask_rcnn"))
    with torch.no_grad():
        model.get_parameter("detector.roi_heads.box_predictor.cls_score.weight").mul_(8)
    return model


@pytest.mark.parametrize("head", names("heads"))
def test_a_head_predicts_and_learns_on_the_frozen_detector(head: str, common: Segmenter) -> None:
    common.head = build(subject(head)).head
    batch = collate([sample()])
    (found,) = common.eval().predict(batch)
    assert len(found.labels) > 0
    common.train()
    for part in ("backbone", "neck", "detector"):
        common.get_submodule(part).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(common.head.parameters(), lr=1e-3)  # type: ignore[attr-defined]
    before = {name: tensor.clone() for name, tensor in common.state_dict().items()}
    losses = common(batch, torch.Generator().manual_seed(0))
    assert losses.keys().isdisjoint({"selection", "class", "box"})
    torch.stack(list(losses.values())).sum().backward()
    optimiser.step()
    changed = {name for name, tensor in common.state_dict().items() if not tensor.equal(before[name])}
    assert changed
    assert {name.partition(".")[0] for name in changed} == {"head"}
    again = common(batch, torch.Generator().manual_seed(0))
    assert all(loss.isfinite() for loss in again.values())


def test_costs_are_measured_with_images(coco_mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Under a trace sizes are tensors, which the run-time type checks do not take for numbers.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    of, context = subject("torchvision_mask", "torchvision_v2"), Context(data=coco_layout(coco_mini), images=1)
    counted = flops.measure(of, context)
    for part in MODEL_PARTS:
        ours, papers = (numbers_at(counted, ruler=ruler, part=part) for ruler in ("torch", "fvcore"))
        assert ours["check_macs"] == papers["check_macs"] > 0
    assert numbers_at(speed.measure(of, context))["latency_ms_median"] > 0
    assert numbers_at(params.measure(of, Context()))["params_detector"] > 0


def test_without_images_costs_are_refused() -> None:
    of = subject("torchvision_mask")
    with pytest.raises(ValueError, match="measure with images"):
        flops.measure(of, Context(regions=10))
