"""The compiled library: loading it, what it can do on this CPU, and the structures that all its entries share."""

import ctypes
import functools
from pathlib import Path
from typing import Literal

import torch

from sparsity._kernels import Call, DepthwiseCall
from sparsity._kernels._compile import CannotCompile, load

Instructions = Literal["portable", "avx2", "avx512", "avx512_bf16"]

NUMBERS: dict[Instructions, int] = {"portable": 0, "avx2": 1, "avx512": 2, "avx512_bf16": 3}
"""As `enum instructions` of native.c has them, the best last; the last is for bfloat16, the others for float32."""

_SOURCE = Path(__file__).with_name("native.c")


class Lattice(ctypes.Structure):
    """`struct lattice` of native.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("rows", "cells", "dilations")),
        *((name, ctypes.c_int64) for name in ("num_rows", "num_active", "num_cells", "height", "width")),
        *((name, ctypes.c_int64) for name in ("num_branches", "kernel_size", "quads")),
    )


def instruction_sets(dtype: torch.dtype) -> list[Instructions]:
    """Instruction sets that compute this dtype on this CPU, the best last.

    Raises RuntimeError where nothing compiles.
    """
    compiled = loaded()
    return [
        name
        for name, number in NUMBERS.items()
        if (name == "avx512_bf16") == (dtype == torch.bfloat16) and compiled.sps_has(number)
    ]


def lattice_of(call: Call | DepthwiseCall, dilations: ctypes.Array[ctypes.c_int32]) -> Lattice:
    """What the C is told of the cells; `dilations` must live as long as it reads them."""
    _, height, width = call.rows.shape
    return Lattice(
        rows=call.rows.data_ptr(),
        cells=call.cells.data_ptr(),
        dilations=ctypes.addressof(dilations),
        num_rows=call.buffer.shape[0],
        num_active=call.cells.shape[0],
        num_cells=call.rows.numel(),
        height=height,
        width=width,
        num_branches=len(call.dilations),
        kernel_size=call.kernel_size,
        quads=isinstance(call, Call) and call.quads,
    )


def dilations_of(call: Call | DepthwiseCall) -> ctypes.Array[ctypes.c_int32]:
    """The dilations, none of which needs to reach farther than a lattice does."""
    farthest = max(*call.rows.shape[1:], 1)
    return (ctypes.c_int32 * len(call.dilations))(*(min(dilation, farthest) for dilation in call.dilations))


def run(entry: str, problem: ctypes.Structure, instructions: Instructions) -> None:
    """Call an entry of the library and turn its status into an exception."""
    function = getattr(loaded(), entry)
    status = function(ctypes.byref(problem), NUMBERS[instructions], ctypes.c_int64(torch.get_num_threads()))
    if status == 1:
        raise IndexError(
            "The index map or the list of cells has a number that is no row or no cell; expected those of a grid; "
            "`sparsity.check(grid)` says what is wrong."
        )
    if status == 2:
        raise MemoryError("The native kernel got no memory for its scratch; process fewer cells or features at a time.")


def loaded() -> ctypes.CDLL:
    """The library. Raises RuntimeError where nothing compiles."""
    found = library()
    if isinstance(found, str):
        raise RuntimeError(f"The native kernel is not available: {found}.")
    return found


@functools.cache
def library() -> ctypes.CDLL | str:
    """The compiled source, or why there is none: asked once, as a compiler that fails does so again."""
    try:
        return load(_SOURCE)
    except CannotCompile as error:
        return str(error)
