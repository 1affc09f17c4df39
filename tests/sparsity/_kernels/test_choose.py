"""Which kernel is chosen: the first that can run and is right; by name, and by environment variable."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import sparsity
import sparsity._kernels
from sparsity import names
from sparsity._kernels import _choose
from sparsity._kernels._choose import VARIABLE, depthwise_kernel_for, feedforward_kernel_for, kernel_for, why_kernel
from sparsity._kernels._trial import DepthwiseKernel, FeedforwardKernel, depthwise_failure, failure, feedforward_failure

CPU = torch.device("cpu")

BORROWED = '''
"""A kernel for a test."""
from dataclasses import replace
from sparsity._kernels import blocked

def unavailable(device, dtype):
    return {reason!r}

def forward(call, keep_signs):
    {forward}

def backward(call, signs, gradient, needed):
    {backward}

{depthwise}
'''
RIGHT = "return blocked.forward(call, keep_signs)"
RIGHT_BACKWARD = "return blocked.backward(call, signs, gradient, needed)"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test knows what another one chose."""
    monkeypatch.delenv(VARIABLE, raising=False)
    caches = (_choose._kernel, _choose._best, _choose._obstacle)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Put a kernel into the folder, in front of all others."""

    def put(
        name: str, forward: str = RIGHT, backward: str = RIGHT_BACKWARD, reason: str | None = None, depthwise: str = ""
    ) -> str:
        text = BORROWED.format(reason=reason, forward=forward, backward=backward, depthwise=depthwise)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sparsity._kernels, "__path__", [*sparsity._kernels.__path__, str(tmp_path)])
        monkeypatch.setattr(_choose, "_ORDER", (name, *_choose._ORDER))
        return name

    return put


def test_every_kernel_that_can_run_passes_the_trial() -> None:
    reference = kernel_for(CPU, torch.float32, "reference")
    for name in names("sparsity._kernels"):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            kernel = _choose._kernel(name)
            if kernel.unavailable(CPU, dtype) is None:
                assert failure(kernel, reference, CPU, dtype) is None, (name, dtype)
                if isinstance(kernel, DepthwiseKernel):
                    assert depthwise_failure(kernel, reference, CPU, dtype) is None, (name, dtype)
                if isinstance(kernel, FeedforwardKernel):
                    assert feedforward_failure(kernel, reference, CPU, dtype) is None, (name, dtype)


def test_the_first_right_kernel_in_order_is_chosen(plant: Callable[..., str]) -> None:
    first = plant("kernel_first")
    assert kernel_for(CPU, torch.float32, None) is _choose._kernel(first)
    lines = why_kernel(CPU, torch.float32)
    assert lines[0] == "kernel_first: used"
    assert "blocked: slower than kernel_first" in lines
    assert len(lines) == len(names("sparsity._kernels"))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"forward": "out, signs = blocked.forward(call, keep_signs); return 1.1 * out, signs"}, "output is off by"),
        ({"forward": "return blocked.forward(replace(call, bias=None), keep_signs)"}, "output is off by"),
        ({"backward": "a, b, c = blocked.backward(call, signs, gradient, needed); return a, b, 2 * c"}, "of the bias"),
        (
            {"backward": "a, b, c = blocked.backward(call, signs, gradient, needed); return a, b + 1, c"},
            "of the weight",
        ),
        (
            {"backward": "a, b, c = blocked.backward(call, signs, gradient, needed); a[1:9] = 0; return a, b, c"},
            "of the features",
        ),
        ({"forward": "out, signs = blocked.forward(call, keep_signs); return out / 0, signs"}, "output is off by"),
        ({"forward": "raise OSError('no such chip')"}, "OSError for 32 to 32 features"),
    ],
)
def test_a_wrong_kernel_is_not_chosen_and_the_log_says_why(
    fault: dict[str, str], found: str, plant: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    # Each its own name: Python imports a module once.
    name = plant(f"kernel_{abs(hash(str(fault)))}", **fault)
    with caplog.at_level(logging.WARNING):
        assert kernel_for(CPU, torch.float32, None) is not _choose._kernel(name)
        kernel_for(CPU, torch.float32, None)
    assert caplog.text.count(f"The SPS kernel '{name}' is not used for torch.float32 on cpu") == 1
    assert found in caplog.text
    assert f"{name}: wrong: " in " ".join(why_kernel(CPU, torch.float32))


def test_a_kernel_that_cannot_run_is_passed_over_silently(
    plant: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = plant("kernel_elsewhere", reason="the moon is needed")
    assert kernel_for(CPU, torch.float32, None) is not _choose._kernel(name)
    assert "kernel_elsewhere: the moon is needed" in why_kernel(CPU, torch.float32)
    assert caplog.text == ""
    with pytest.raises(ValueError, match=r"cannot compute torch.float32 on cpu: the moon is needed\. Take another"):
        kernel_for(CPU, torch.float32, name)


def test_a_kernel_without_depthwise_leaves_it_to_the_next(
    plant: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = plant("kernel_without")
    assert kernel_for(CPU, torch.float32, None) is _choose._kernel(name)
    assert depthwise_kernel_for(CPU, torch.float32, None) is not _choose._kernel(name)
    assert f"{name}: it has no depthwise convolution" in why_kernel(CPU, torch.float32, "depthwise")
    assert caplog.text == ""
    with pytest.raises(sparsity.Unsupported, match=r"it has no depthwise convolution\. Take another"):
        depthwise_kernel_for(CPU, torch.float32, name)


def test_a_forced_kernel_without_blocks_leaves_them_to_the_best(
    plant: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plant("kernel_without_blocks")
    assert f"{name}: it has no feed-forward block" in why_kernel(CPU, torch.float32, "feedforward")
    best = feedforward_kernel_for(CPU, torch.float32)
    monkeypatch.setenv(VARIABLE, name)
    assert feedforward_kernel_for(CPU, torch.float32) is best
    monkeypatch.setenv(VARIABLE, "reference")
    assert feedforward_kernel_for(CPU, torch.float32) is _choose._kernel("reference")


@pytest.mark.parametrize("factor", [1, 1.1])
def test_a_wrong_block_is_not_chosen(factor: float, plant: Callable[..., str]) -> None:
    name = f"kernel_block_{int(10 * factor)}"
    plant(name, depthwise=f"def feedforward(call): return {factor} * blocked.feedforward(call)")
    assert (feedforward_kernel_for(CPU, torch.float32) is _choose._kernel(name)) == (factor == 1)


RIGHT_FORWARD = "def depthwise(call): return blocked.depthwise(call)"
RIGHT_DEPTHWISE_BACKWARD = "def depthwise_backward(*inputs): return blocked.depthwise_backward(*inputs)"


@pytest.mark.parametrize(
    ("number", "depthwise", "found"),
    [
        (0, f"{RIGHT_FORWARD}\n{RIGHT_DEPTHWISE_BACKWARD}", None),
        (1, f"def depthwise(call): return 1.1 * blocked.depthwise(call)\n{RIGHT_DEPTHWISE_BACKWARD}", "output is off"),
        (
            2,
            f"{RIGHT_FORWARD}\ndef depthwise_backward(*inputs):\n"
            "    a, b = blocked.depthwise_backward(*inputs); a[1:9] = 0; return a, b",
            "gradient of the features is off",
        ),
        (
            3,
            f"{RIGHT_FORWARD}\ndef depthwise_backward(*inputs):\n"
            "    a, b = blocked.depthwise_backward(*inputs); return a, b.flip(1)",
            "gradient of the weight is off",
        ),
    ],
)
def test_a_wrong_depthwise_is_not_chosen_though_the_rest_is_right(
    number: int, depthwise: str, found: str | None, plant: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = plant(f"kernel_depthwise_{number}", depthwise=depthwise)
    assert kernel_for(CPU, torch.float32, None) is _choose._kernel(name)
    is_chosen = depthwise_kernel_for(CPU, torch.float32, None) is _choose._kernel(name)
    assert is_chosen == (found is None)
    assert (found or "") in caplog.text


def test_the_environment_forces_a_kernel_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "reference")
    assert kernel_for(CPU, torch.float32, None) is _choose._kernel("reference")
    assert kernel_for(CPU, torch.float32, "blocked") is _choose._kernel("blocked")
    assert why_kernel(CPU, torch.float32) == ["reference: used, because SPS_KERNEL says so"]
    monkeypatch.setenv(VARIABLE, "blokced")
    grid = sparsity.backend("sps").dense(torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match=r"no kernel named 'blokced'. Did you mean 'blocked'\? Known: blocked"):
        sparsity.conv2d(grid, torch.zeros(2, 2, 3, 3), None)
    monkeypatch.setenv(VARIABLE, "")
    assert why_kernel(CPU, torch.float32)[0].endswith(": used")


def test_a_name_runs_its_kernel_after_every_method(plant: Callable[..., str]) -> None:
    name = plant("kernel_loud", forward="raise RuntimeError('it was me')")
    features = torch.ones(1, 2, 2, 2)
    first = sparsity.backend(f"sps:{name}").dense(features)
    others = [
        first.with_active(first.active),
        first.map(torch.relu),
        first.subdivide(torch.tensor([1]), torch.ones(4, 2)),
    ]
    for grid in (first, *others):
        with pytest.raises(RuntimeError, match="it was me"):
            sparsity.conv2d(grid, torch.ones(2, 2, 3, 3), None)
        with pytest.raises(RuntimeError, match="it was me"):
            sparsity.sfm(grid, torch.ones(1, 2, 2, 3, 3), torch.ones(1, 2), (1,))


def test_names_of_kernels_are_checked() -> None:
    with pytest.raises(ValueError, match=r"There is no kernel named 'refrence'\. Did you mean 'reference'"):
        sparsity.backend("sps:refrence")
    with pytest.raises(ValueError, match="The backend 'dense' has no kernels, 'reference' was asked for"):
        sparsity.backend("dense:reference")
