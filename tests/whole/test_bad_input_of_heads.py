"""What every head does with odd input: one region, objects of no cell or of all cells, what is not a number.

Without regions, with regions of a few pixels and with those outside the image: tests/whole/test_contract_of_heads.py.
"""

from dataclasses import replace

import pytest
import torch

from bench.model.assemble import assemble
from heads import compose
from sparsity import names
from tests.whole.test_contract_of_heads import IMAGE_SIZE, build, make_detections, make_pyramid, make_targets

SMALL = [(name, {}) for name in names("heads")]
head_case = pytest.mark.parametrize("variant", SMALL, ids=names("heads"))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@head_case
def test_one_region_learns_from_an_object_of_no_cell_and_of_all(variant: tuple[str, dict[str, str]]) -> None:
    head, detections = build(variant).train(), make_detections([1])
    stages = head({k: level[:1] for k, level in make_pyramid().items()}, detections, generator())
    targets = make_targets(detections)
    targets = replace(targets, masks=targets.masks[targets.image == 0], image=targets.image[targets.image == 0])
    for masks in (targets.masks & False, targets.masks | True):
        losses = head.loss(stages, replace(targets, masks=masks))
        assert all(loss.isfinite() and loss >= 0 for loss in losses.values()), losses
        head.zero_grad()
        sum(losses.values()).backward(retain_graph=True)
        assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@head_case
@torch.no_grad()
def test_what_is_not_a_number_is_told_and_stays_in_its_image(variant: tuple[str, dict[str, str]]) -> None:
    head, detections, pyramid = build(variant).eval(), make_detections([0, 4]), make_pyramid()
    for level in pyramid.values():
        level[0] = torch.nan
    stages = head(pyramid, detections)
    assert compose(stages)[1].isfinite().all()
    with pytest.raises(ValueError, match=r"^The mask of region 0 of image 0 .* not numbers; expected .*; look at"):
        assemble(stages, detections, [IMAGE_SIZE] * 2, [IMAGE_SIZE] * 2)
    losses = head.train().loss(head(pyramid, detections, generator()), make_targets(detections))
    assert any(loss.isnan() for loss in losses.values()), "training stops at such a loss"
