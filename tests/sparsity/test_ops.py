import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

import sparsity
from sparsity import backend, names
from tests.sparsity.walks import assert_equal_with_gradients, randn, skip_unsupported

pytestmark = pytest.mark.parametrize("name", names("sparsity"))
DTYPES = [torch.float32, torch.float64]


def rows(full: torch.Tensor) -> torch.Tensor:
    """A full map as rows in the order of a new grid's cells."""
    return full.permute(0, 2, 3, 1).flatten(0, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_convolution_of_a_full_grid_is_conv2d(
    name: str, kernel_size: int, dilation: int, has_bias: bool, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(kernel_size + dilation)
    features = randn((2, 5, 7, 6), generator, dtype)
    weight = randn((4, 5, kernel_size, kernel_size), generator, dtype)
    bias = randn((4,), generator, dtype) if has_bias else None
    leaves = [features, weight] + ([bias] if bias is not None else [])
    with skip_unsupported():
        actual = sparsity.conv2d(backend(name).dense(features), weight, bias, dilation)
    expected = F.conv2d(features, weight, bias, padding=dilation * (kernel_size // 2), dilation=dilation)
    assert_equal_with_gradients(actual, rows(expected), leaves)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dilations", [(1, 3, 5), (2,)])
def test_sfm_of_a_full_grid_sums_branches_after_their_activation(
    name: str, dilations: tuple[int, ...], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(len(dilations))
    features = randn((2, 4, 6, 7), generator, dtype)
    weight = randn((len(dilations), 3, 4, 3, 3), generator, dtype)
    bias = randn((len(dilations), 3), generator, dtype)
    with skip_unsupported():
        actual = sparsity.sfm(backend(name).dense(features), weight, bias, dilations)
    expected = torch.stack(
        [
            F.conv2d(features, weight[i], bias[i], padding=dilation, dilation=dilation).relu()
            for i, dilation in enumerate(dilations)
        ]
    ).sum(0)
    assert_equal_with_gradients(actual, rows(expected), [features, weight, bias])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel_size", "dilations"), [(3, (1, 3, 5)), (3, (1,)), (5, (2,)), (1, (1, 1))])
@pytest.mark.parametrize("has_bias", [True, False])
def test_depthwise_convolution_of_a_full_grid_is_conv2d_in_groups(
    name: str, has_bias: bool, kernel_size: int, dilations: tuple[int, ...], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(kernel_size)
    features = randn((2, 5, 7, 6), generator, dtype)
    weight = randn((len(dilations), kernel_size, kernel_size, 5), generator, dtype)
    bias = randn((5,), generator, dtype) if has_bias else None
    with skip_unsupported():
        actual = sparsity.depthwise(backend(name).dense(features), weight, bias, dilations)
    kernels = weight.permute(0, 3, 1, 2)[:, :, None]
    expected = sum(
        F.conv2d(features, kernel, None, padding=dilation * (kernel_size // 2), dilation=dilation, groups=5)
        for kernel, dilation in zip(kernels, dilations, strict=True)
    )
    assert isinstance(expected, torch.Tensor)
    leaves = [features, weight] + ([] if bias is None else [bias])
    assert_equal_with_gradients(actual, rows(expected) + (0 if bias is None else bias), leaves)


def test_wrong_depthwise_weights_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Run-time types would answer first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    grid = backend(name).dense(torch.zeros(1, 2, 4, 4))
    for shape, dilations, message in (
        ((2, 3, 3, 2), (1,), "2 kernels of 3 x 3 cells and the dilations"),
        ((0, 3, 3, 2), (), "at least one"),
        ((1, 3, 5, 2), (1,), "one square kernel per dilation"),
        ((1, 2, 2, 2), (1,), "needs an odd one"),
        ((1, 3, 3, 2), (0,), "taps are at least 1 cell apart"),
        ((1, 1, 1, 3), (1,), "is for features of size 3; the grid has features of size 2"),
    ):
        with pytest.raises(ValueError, match=message):
            sparsity.depthwise(grid, torch.zeros(shape), None, dilations)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 0.4, 3.0])
def test_deformable_convolution_of_a_full_grid_is_torchvisions(
    name: str, spread: float, kernel_size: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(kernel_size)
    features = randn((2, 5, 6, 7), generator, dtype)
    weight = randn((3, 5, kernel_size, kernel_size), generator, dtype)
    bias = randn((3,), generator, dtype)
    # Per cell and tap (y, x), relative to the regular taps; zero offsets test the slope at cell centres.
    offset = (randn((2, 6, 7, kernel_size**2, 2), generator, dtype).detach() * spread).requires_grad_()
    displacement = offset.flatten(0, 2) + sparsity.window(kernel_size, 1, features.device)
    with skip_unsupported():
        actual = sparsity.deform_conv2d(backend(name).dense(features), weight, bias, displacement)
    expected = torchvision_deform_conv2d(
        features, offset.flatten(3).permute(0, 3, 1, 2), weight, bias, padding=kernel_size // 2
    )
    assert_equal_with_gradients(actual, rows(expected), [features, weight, bias, offset])


def test_undisplaced_deformable_convolution_is_convolution(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    features, weight = randn((1, 2, 4, 5), generator), randn((3, 2, 3, 3), generator)
    with skip_unsupported():
        grid = backend(name).dense(features)
        regular = sparsity.window(3, 2, features.device).double().expand(20, -1, -1)
        deformed = sparsity.deform_conv2d(grid, weight, None, regular)
        convolved = sparsity.conv2d(grid, weight, None, dilation=2)
    assert_equal_with_gradients(deformed, convolved, [features, weight])


@pytest.mark.parametrize("operation", ["pointwise", "conv", "sfm", "depthwise", "deformable"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 5e-2)])
def test_half_precision_is_near_double_precision(
    name: str, dtype: torch.dtype, tolerance: float, operation: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 5, 28, 56), (80, 5), (3, 4, 5, 3, 3), (3, 4), (80, 9, 2)]
    parts = [randn(shape, generator).detach().to(dtype) for shape in shapes]

    def compute(precision: torch.dtype) -> torch.Tensor:
        start, children, weight, bias, displacement = (part.to(precision) for part in parts)
        # The last cells, where a position of half precision would miss by sixteenths of a cell.
        grid = backend(name).dense(start).subdivide(torch.arange(3116, 3136), children)
        match operation:
            case "pointwise":
                return sparsity.conv2d(grid, weight[0, :, :, :1, :1], bias[0])
            case "conv":
                return sparsity.conv2d(grid, weight[0], bias[0])
            case "sfm":
                return sparsity.sfm(grid, weight, bias, (1, 3, 5))
            case "depthwise":
                return sparsity.depthwise(grid, weight[:, 0].permute(0, 2, 3, 1), bias[0, :1].expand(5), (1, 3, 5))
            case _:
                return sparsity.deform_conv2d(grid, weight[0], None, displacement)

    with skip_unsupported():
        half, double = compute(dtype), compute(torch.float64)
    assert half.dtype == dtype
    assert (half - double).abs().max() <= tolerance * double.abs().max()


def test_wrong_kernels_and_branches_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = backend(name).dense(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match="needs an odd one"):
        sparsity.conv2d(grid, torch.zeros(3, 2, 2, 2), None)
    # Run-time types would answer first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for num_weights, num_biases in ((2, 2), (3, 2), (3, 4)):
        with pytest.raises(ValueError, match="one weight and one bias per branch"):
            sparsity.sfm(grid, torch.zeros(num_weights, 3, 2, 3, 3), torch.zeros(num_biases, 3), (1, 3, 5))


@pytest.mark.parametrize("side", [(1, 3), (3, 1), (3, 5), (5, 3)])
def test_oblong_kernels_are_refused(name: str, side: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    # Run-time types would answer first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    grid = backend(name).dense(torch.zeros(1, 2, 4, 4))
    message = f"{side[0]} x {side[1]} cells; a grid needs a square one"
    with pytest.raises(ValueError, match=message):
        sparsity.conv2d(grid, torch.zeros(3, 2, *side), None)
    with pytest.raises(ValueError, match=message):
        sparsity.sfm(grid, torch.zeros(1, 3, 2, *side), torch.zeros(1, 3), (1,))
    with pytest.raises(ValueError, match=message):
        sparsity.deform_conv2d(grid, torch.zeros(3, 2, *side), None, torch.zeros(16, side[0] * side[1], 2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_at_infinity_are_zero_and_at_nan_nan(name: str, dtype: torch.dtype) -> None:
    """A diverging displacement must show where it is NaN, and nowhere else."""
    inf, nan = float("inf"), float("nan")
    features = randn((1, 2, 3, 5), torch.Generator().manual_seed(0), dtype)
    places = [(inf, 0.5), (-inf, 0.5), (0.5, inf), (0.5, -inf), (inf, -inf), (1e30, 0.5), (0.5, -1e30), (1.0, 5.5)]
    points = torch.tensor([places, [(1.0, nan)] * 8] + 13 * [[(1.0, 2.0)] * 8], dtype=dtype).requires_grad_()
    with skip_unsupported():
        sampled = backend(name).dense(features).sample(points)
    assert torch.equal(sampled[0], torch.zeros(8, 2, dtype=dtype))
    assert sampled[1].isnan().all()
    assert torch.equal(sampled[2:], features[0, :, 1, 2].expand(13, 8, 2))
    gradient = torch.autograd.grad(sampled[0].sum() + sampled[2:].sum(), points)[0]
    assert torch.equal(gradient[0], torch.zeros(8, 2, dtype=dtype))
    assert gradient[2:].isfinite().all()


@pytest.mark.parametrize("far", [2**31, 2**32, 2**32 + 1, -(2**32), -(2**63), 2**63 - 1])
def test_offsets_beyond_int32_are_outside(name: str, far: int) -> None:
    grid = backend(name).dense(torch.ones(1, 2, 3, 4))
    with skip_unsupported():
        assert not grid.gather(torch.tensor([[far, 0], [0, far], [far, far]])).any()


def test_offsets_at_the_end_of_int32_are_outside(name: str) -> None:
    grid = backend(name).dense(torch.ones(1, 2, 3, 4))
    with skip_unsupported():
        assert not grid.gather(torch.tensor([[2**31 - 1, 0], [-(2**31), 2**31 - 1]], dtype=torch.int32)).any()
