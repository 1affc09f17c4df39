"""Forward passes of the SFM that are printed beside a kernel and that no ratio of it rests on: they are optional.

A compiled Dense needs what `torch.compile` needs: a C++ compiler on a CPU, Triton on a GPU. spconv-triton, a library of
sparse convolutions for GPUs, is measured where it is installed.
"""

import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from bench.backends.dense_layouts import LAYOUTS, sfm_on_map
from bench.backends.rivals import Rivals, Workload
from sparsity import unravel

COMPILED = "compiled_dense"
SPCONV = "spconv"

SPCONV_VERSION = "1.0.0"
"""Of spconv-triton. A table of neighbours can be given to a function that is not public, so another may lack it."""

_log = logging.getLogger(__name__)


def peers(workload: Workload) -> Rivals:
    """The peers that work here, by name; one that does not is left out with a warning."""
    candidates = {COMPILED: compiled_dense}
    if workload.ours.buffer.is_cuda and spconv_version() == SPCONV_VERSION:
        candidates[SPCONV] = spconv
    found: dict[str, Callable[[], object]] = {}
    for name, make in candidates.items():
        try:
            peer = make(workload)
            with torch.inference_mode():
                peer()
        except Exception as error:  # of a compiler or a library: nothing of the kernels' own may be lost for it
            reason = str(error).strip().partition("\n")[0]
            _log.warning("%s is not measured beside the kernels, because it fails here: %s", name, reason)
        else:
            found[name] = peer
    return found


def spconv_version() -> str | None:
    """The installed version of spconv-triton."""
    try:
        return version("spconv-triton")
    except PackageNotFoundError:
        return None


def compiled_dense(workload: Workload) -> Callable[[], Tensor]:
    """Dense in channels last by `torch.compile`, then the rows of the active cells; it compiles when first called."""
    # The compiled are kept by code, and after eight for one function torch would silently go on without compiling.
    torch.compiler.reset()
    convolve = torch.compile(sfm_on_map, fullgraph=True, dynamic=False)
    full = workload.dense.to_dense().contiguous(memory_format=LAYOUTS["channels_last"])
    region, row, column = unravel(workload.dense.cells, workload.dense.size)

    def run() -> Tensor:
        return convolve(full, workload.weights)[region, :, row, column]

    return run


def spconv(workload: Workload) -> Callable[[], Tensor]:
    """The products of all branches by spconv-triton, with our neighbours as its table; activation and sum by torch."""
    from spconv_triton.pytorch._impl import gemm

    # -1 is its sign for no neighbour; ours is the zero row.
    tables = [torch.where(rows == 0, -1, rows).T.contiguous() for rows in workload.neighbors]
    weights = [weight.permute(0, 2, 3, 1).flatten(1, 2).contiguous() for weight in workload.weights.branches]
    convolve: Any = gemm.conv_forward

    def run() -> Tensor:
        first, *others = (
            convolve(workload.ours.buffer, weight, table, table.shape[1], bias).relu()
            for weight, table, bias in zip(weights, tables, workload.weights.bias, strict=True)
        )
        return sum(others, first)

    return run
