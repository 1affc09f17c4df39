"""A process of its own for Triton's interpreter, which must be chosen before triton is imported: prints JSON.

Per case and dtype the largest error of each result, relative to the largest number that a dense convolution in float64
gives. No bfloat16: the interpreter of Triton 3.8 computes nonsense in it.
"""

import json
import sys
from dataclasses import replace

import torch

from sparsity._kernels import reference, triton
from sparsity._kernels._call import Call, DepthwiseCall
from tests.sparsity._kernels.made_up import (
    double,
    expected,
    expected_depthwise,
    expected_depthwise_gradients,
    expected_gradients,
    lonely,
    made_up,
    made_up_depthwise,
)

SMALL = (2, 3, 3)
CASES = {
    "sfm": {"size": SMALL},
    "odd sizes": {"size": SMALL, "features": 33, "outputs": 3, "dilations": (1, 5)},
    "one tap, many outputs": {"kernel_size": 1, "dilations": (1,), "features": 70, "outputs": 130, "size": SMALL},
    "five by five": {"kernel_size": 5, "dilations": (3,), "size": (1, 3, 2)},
    "plain convolution": {"activation": False, "has_bias": False, "dilations": (2,), "size": SMALL},
    "sum without activation": {"activation": False, "dilations": (1, 3), "size": (2, 3, 2)},
    "nothing passive": {"kept_shares": (), "size": (3, 5, 7), "dilations": (1,)},
    "nothing active": {"kept_shares": (0.5, 0.0), "size": SMALL},
    "no regions": {"size": (0, 4, 4)},
    "all neighbours passive": {"size": (2, 5, 5), "kept_shares": (), "dilations": (1,)},
    "far out of the lattice": {"size": SMALL, "dilations": (2**30,)},
}
DEPTHWISE = ("odd sizes", "five by five", "nothing passive", "nothing active", "no regions", "all neighbours passive")
"""Those in which a depthwise convolution differs; the interpreter is slow."""
RUNS = [(name, "float32") for name in CASES] + [(name, "float16") for name in ("sfm", "odd sizes")]


def errors(call: Call) -> dict[str, float]:
    exact = double(call)
    out, signs = triton.forward(call, True)
    gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    gradients = triton.backward(call, signs, gradient, (True, True, call.bias is not None))
    names = ("buffer", "weight", "bias")
    wanted = dict(zip(names, expected_gradients(exact, gradient.double()), strict=True)) | {"out": expected(exact)}
    found = dict(zip(names, gradients, strict=True)) | {"out": out}
    return {
        "signs": float((signs != reference.forward(exact, True)[1]).sum()),
        "zero row": float(gradients[0][0].abs().max()),
    } | {name: error(found[name], value) for name, value in wanted.items() if value is not None}


def depthwise_errors(call: DepthwiseCall) -> dict[str, float]:
    exact = double(call)
    out = triton.depthwise(call)
    gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    of_buffer, of_weight = triton.depthwise_backward(call, gradient, (True, True))
    wanted = (expected_depthwise(exact), *expected_depthwise_gradients(exact, gradient.double()))
    found = {"out": out, "buffer": of_buffer, "weight": of_weight}
    return {"zero row": float(of_buffer[0].abs().max())} | {
        name: error(value, other) for (name, value), other in zip(found.items(), wanted, strict=True)
    }


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert found.isfinite().all()
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)) if wanted.numel() else 0.0


def lost_nan() -> float:
    """Rows that NaN reaches in the reference and not here: an activation must not hide it."""
    call = made_up(kernel_size=1, dilations=(1,), size=SMALL)
    buffer = call.buffer.clone()
    buffer[-5:, 0] = torch.nan
    call = replace(call, buffer=buffer)
    return float((triton.forward(call, False)[0].isnan() != reference.forward(call, False)[0].isnan()).sum())


if __name__ == "__main__":
    torch.set_num_threads(1)
    results, of_depthwise = {}, {}
    for name, dtype in RUNS:
        call = made_up(dtype=getattr(torch, dtype), **CASES[name])
        call = lonely(call) if name == "all neighbours passive" else call
        results[f"{name} {dtype}"] = errors(call)
        if name in DEPTHWISE:
            of_depthwise[f"{name} {dtype}"] = depthwise_errors(made_up_depthwise(call))
    json.dump({"errors": results, "depthwise": of_depthwise, "lost_nan": lost_nan()}, sys.stdout)
