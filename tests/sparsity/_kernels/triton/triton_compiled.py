"""A process of its own that compiles what the Triton kernel would launch, for a GPU that is not there: prints JSON.

The argument is a compute capability. The real host code and Triton's own launcher run on tensors of the CPU, up to the
launch; per kernel it says how often the instructions that matter are in the PTX. No result means anything.
"""

import json
import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from sparsity._kernels import triton as kernel
from tests.sparsity._kernels.made_up import made_up, made_up_depthwise

INSTRUCTIONS = ("wgmma.mma_async", "mma.sync", "fma.rn.f32", ".local", "cp.async.cg.shared.global")
CAPABILITY = int(sys.argv[1])
# Two of the four are enough for the older architecture: a compilation takes about a second.
DTYPES = {
    90: (("bfloat16", "ieee"), ("float16", "ieee"), ("float32", "tf32"), ("float32", "ieee")),
    80: (("bfloat16", "ieee"), ("float32", "tf32")),
}


class AbsentGPU:
    """As much of a Triton driver as a compilation asks for."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", CAPABILITY, 32)


run = JITFunction.run
launches = []


def compile_only(function: JITFunction[Any], *values: Any, grid: Any, warmup: bool, **named: Any) -> None:
    ptx = run(function, *values, grid=grid, warmup=True, **named).asm["ptx"]
    counts = {instruction: ptx.count(instruction) for instruction in INSTRUCTIONS}
    launches.append({"kernel": function.__name__, "dtype": dtype, "precision": precision} | counts)


triton.runtime.driver.set_active(AbsentGPU())
JITFunction.run = compile_only
for dtype, precision in DTYPES[CAPABILITY]:
    torch.backends.cuda.matmul.fp32_precision = precision
    call = made_up(features=32, outputs=32, dtype=getattr(torch, dtype))
    out, signs = kernel.forward(call, True)
    kernel.backward(call, signs, out, (True, True, True))
    channels = made_up_depthwise(call)
    kernel.depthwise_backward(channels, kernel.depthwise(channels), (True, True))
json.dump(launches, sys.stdout)
