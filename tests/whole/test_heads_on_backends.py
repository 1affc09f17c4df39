"""EffSeg gives the same masks on every backend: each backend and processing module found in their folders."""

import dataclasses
from functools import cache

import pytest
import torch
from torch import Tensor

from heads import Detections, effseg
from heads._compose import compose
from heads._select import Budget
from sparsity import Unsupported, names, window
from sparsity import backend as storage

BACKENDS, MODULES = names("sparsity"), names("heads._modules")
CHANNELS, QUERY_SIZE = 8, 6
COUNTS = (3, 0, 1)


def build(backend: str, module: str, dtype: torch.dtype = torch.float64) -> effseg.EffSeg:
    """A tiny head: the same weights whatever the backend."""
    config = effseg.Config(
        features=(8, 8, 4, 4), num_convs=1, module=module, backend=backend, budget=Budget(20, "region_pool")
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = effseg.build(config, CHANNELS, QUERY_SIZE, 3).to(dtype)
        with torch.no_grad():
            for name, parameter in head.named_parameters():
                if "displacement" in name:  # off the cell centres, where one-sided slopes would differ
                    parameter.add_(0.3 * torch.rand_like(parameter))
    assert isinstance(head, effseg.EffSeg)
    return head


def scene(dtype: torch.dtype = torch.float64) -> tuple[dict[int, Tensor], Detections]:
    """Three images with 3, 0 and 1 regions."""
    generator = torch.Generator().manual_seed(1)
    pyramid = {
        k: torch.randn(3, CHANNELS, 128 // 2**k, 128 // 2**k, generator=generator).to(dtype) for k in range(2, 8)
    }
    corner = 40 * torch.rand(4, 2, generator=generator)
    detections = Detections(
        boxes=torch.cat((corner, corner + 30 + 40 * torch.rand(4, 2, generator=generator)), dim=1),
        image=torch.tensor([0, 0, 0, 2]),
        queries=torch.randn(4, QUERY_SIZE, generator=generator).to(dtype),
        region=torch.arange(4),
        labels=torch.zeros(4, dtype=torch.int64),
        scores=torch.ones(4, dtype=dtype),
        region_counts=COUNTS,
        prediction_counts=COUNTS,
        image_size=(128, 128),
    )
    return pyramid, detections


@cache
def masks_and_gradients(backend: str, module: str) -> tuple[Tensor, list[Tensor]]:
    """Mask logits 112x112 and the gradient of a fixed projection of them in every weight."""
    head = build(backend, module)
    masks = compose(head(*scene()))
    projection = torch.randn(masks.shape, generator=torch.Generator().manual_seed(2), dtype=masks.dtype)
    weights = list(head.parameters())
    options = {"allow_unused": True, "materialize_grads": True}
    return masks.detach(), list(torch.autograd.grad((masks * projection).sum(), weights, **options))


@cache
def reach_of(module: str) -> int:
    """Cells that a processing module reads to each side, found by its gradient: in what an active cell depends on."""
    side = 15
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(1, 8, side, side, generator=generator, dtype=torch.float64).requires_grad_()
    process = build("dense", module).stages[0].process
    grid = storage("dense").dense(features)
    center = side**2 // 2
    slope = torch.autograd.grad(process(grid)[center].square().sum(), features)[0]
    rows, columns = slope[0].abs().sum(0).nonzero(as_tuple=True)
    return int(torch.cat((rows, columns)).sub(side // 2).abs().max())


@cache
def reach_that_is_stored(backend: str) -> float:
    """Cells to each side of an active one that a backend can give, found by asking."""
    grid = storage(backend).dense(torch.zeros(1, 2, 8, 8)).subdivide(torch.tensor([20]), torch.zeros(4, 2))
    for far in (0, 1, 2):
        try:
            grid.gather(window(2 * far + 1, 1, torch.device("cpu")))
        except Unsupported:
            return far - 1
    return float("inf")


def test_what_is_found_by_asking_is_what_the_paper_says() -> None:
    """Sec. 3.2, and the modules of Table 5; a displacement is not a whole number of cells."""
    assert [reach_that_is_stored(name) for name in ("pointwise", "neighbors")] == [0, 1]
    assert {reach_that_is_stored(name) for name in ("dense", "sparse_on_dense", "sps")} == {float("inf")}
    assert {name: reach_of(name) for name in ("mlp", "conv", "deform_conv", "sfm")} == {
        "mlp": 0,
        "conv": 1,
        "deform_conv": 2,
        "sfm": 5,
    }


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "dense"])
def test_masks_and_gradients_are_those_of_masked_dense_or_refused(backend: str, module: str) -> None:
    if reach_of(module) > reach_that_is_stored(backend):
        with pytest.raises(Unsupported, match="use dense, sparse_on_dense or sps"):
            masks_and_gradients(backend, module)
        return
    masks, gradients = masks_and_gradients(backend, module)
    expected, expected_gradients = masks_and_gradients("dense", module)
    assert masks.shape == (4, 112, 112)
    torch.testing.assert_close(masks, expected, rtol=1e-9, atol=1e-10)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_runs_through_the_head(backend: str) -> None:
    module = max(
        ("sfm", "conv", "mlp"), key=lambda name: (reach_of(name) <= reach_that_is_stored(backend), reach_of(name))
    )
    head = build(backend, module, torch.bfloat16).eval()
    with torch.no_grad():
        masks = compose(head(*scene(torch.bfloat16)))
    assert masks.dtype == torch.bfloat16
    assert masks.isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_regions_there_are_no_masks(backend: str) -> None:
    pyramid, detections = scene()
    nothing = {
        field.name: getattr(detections, field.name)[:0]
        for field in dataclasses.fields(detections)
        if isinstance(getattr(detections, field.name), Tensor)
    }
    empty = dataclasses.replace(detections, **nothing, region_counts=(0, 0, 0), prediction_counts=(0, 0, 0))
    assert compose(build(backend, "mlp").eval()(pyramid, empty)).shape == (0, 112, 112)
