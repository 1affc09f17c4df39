"""The tiles that a Triton kernel works in: candidates, and the fastest of them, measured once per GPU and kept on disk.

Another choice adds in another order, so last digits may differ between machines; on one machine the file fixes them.
"""

import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from jaxtyping import Float
from torch import Tensor
from triton.runtime.errors import OutOfResources, PTXASError
from triton.testing import do_bench

from sparsity._kernels._cache import cache_folder

# Below this many rows a launch takes longer than the kernel, whatever its tiles are.
NUM_ROWS_WORTH_TUNING = 4096


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """The sizes of the work of one program, and the warps and pipeline stages it gets. Powers of two from 16 on."""

    cells: int
    outputs: int
    features: int
    num_warps: int
    num_stages: int


def convolution_tiles(features: int, outputs: int, itemsize: int) -> list[Tiles]:
    """Candidates of `convolve`, the safest first: all outputs in one program, features in pieces of 64 to 256 bytes.

    The sums of a branch and of all branches are both in registers, so 64 outputs per thread are the limit.
    """
    shapes = (
        (64, 128, 4, 3),
        (128, 128, 8, 3),
        (128, 128, 4, 3),
        (64, 128, 8, 4),
        (64, 64, 4, 4),
        (128, 64, 8, 4),
        (128, 256, 8, 2),
        (256, 128, 8, 3),
    )
    width = _fitting(outputs, 128)
    return _distinct(
        Tiles(
            cells=cells,
            outputs=width,
            features=_fitting(features, num_bytes // itemsize),
            num_warps=num_warps,
            num_stages=num_stages,
        )
        for cells, num_bytes, num_warps, num_stages in shapes
        if cells * width <= 64 * 32 * num_warps
    )


def weight_tiles(features: int, outputs: int, itemsize: int) -> list[Tiles]:
    """Candidates of `weight_gradient`: square tiles of the weight, cells in pieces."""
    shapes = ((128, 64, 4, 3), (128, 64, 8, 3), (64, 64, 4, 4), (128, 128, 8, 3), (64, 128, 8, 4))
    return _distinct(
        Tiles(
            cells=num_bytes // itemsize,
            outputs=_fitting(outputs, side),
            features=_fitting(features, side),
            num_warps=num_warps,
            num_stages=num_stages,
        )
        for num_bytes, side, num_warps, num_stages in shapes
    )


def passive_tiles(features: int, outputs: int, itemsize: int) -> list[Tiles]:
    """Candidates of `passive_gradient`: few rows in one program, since a tile waits for its row with most readers."""
    shapes = ((32, 128, 4, 2), (16, 128, 4, 2), (64, 128, 4, 2), (32, 256, 8, 2))
    return _distinct(
        Tiles(
            cells=cells,
            outputs=_fitting(outputs, num_bytes // itemsize),
            features=_fitting(features, 128),
            num_warps=num_warps,
            num_stages=num_stages,
        )
        for cells, num_bytes, num_warps, num_stages in shapes
    )


class Choices:
    """The choices made on one GPU, in a JSON file that other processes write too; a lost file costs a new tuning."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a file that cannot be read counts as empty."""
        self._path = path
        self._chosen = self._read()

    def __contains__(self, key: str) -> bool:
        """Whether `choose` would answer without measuring."""
        return key in self._chosen

    def choose(self, key: str, candidates: Sequence[Tiles], measure: Callable[[Tiles], float]) -> Tiles:
        """The candidate with the smallest measure, of this process or of an earlier one."""
        if key not in self._chosen:
            self._chosen[key] = min(candidates, key=measure)
            self._write()
        return self._chosen[key]

    def _read(self) -> dict[str, Tiles]:
        try:
            return {key: Tiles(**tiles) for key, tiles in json.loads(self._path.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self) -> None:
        """Replace the file in one step, with what others added since. Without a writable cache nothing is kept."""
        merged = {key: asdict(tiles) for key, tiles in (self._read() | self._chosen).items()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False, encoding="utf-8") as file:
                json.dump(merged, file, indent=1, sort_keys=True)
            os.replace(file.name, self._path)
        except OSError:
            return


def tuned(
    name: str,
    constants: Sequence[object],
    num_rows: int,
    like: Float[Tensor, "..."],
    candidates: Sequence[Tiles],
    launch: Callable[[Tiles], object],
) -> Tiles:
    """The tiles for a launch: measured on the first call of a kernel with these constants and about so many rows.

    Few rows, the interpreter and a first call inside a graph capture, which cannot measure, take the first candidate.
    """
    if num_rows < NUM_ROWS_WORTH_TUNING or not like.is_cuda:
        return candidates[0]
    choices = _choices(torch.cuda.get_device_name(like.device))
    key = " ".join(map(str, (name, like.dtype, *constants, num_rows.bit_length())))
    if key not in choices and torch.cuda.is_current_stream_capturing():
        return candidates[0]
    return choices.choose(key, candidates, lambda tiles: _milliseconds(tiles, launch))


@functools.cache
def _choices(gpu: str) -> Choices:
    """The file of a GPU, of this Triton and of these sources: a choice is worth nothing for others."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    checksum = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    name = re.sub(r"\W+", "-", f"triton-{triton.__version__}-{gpu}-{checksum}")
    return Choices(cache_folder() / f"{name}.json")


def _milliseconds(tiles: Tiles, launch: Callable[[Tiles], object]) -> float:
    """Median time of a launch; infinite for tiles that this GPU has no room for."""
    try:
        return float(do_bench(lambda: launch(tiles), warmup=5, rep=20, return_mode="median"))
    except (OutOfResources, PTXASError):
        return float("inf")


def _fitting(size: int, limit: int) -> int:
    """Smallest tile that holds `size`, at least the 16 of a matrix unit, at most `limit`."""
    return max(16, min(limit, triton.next_power_of_2(size)))


def _distinct(tiles: Iterable[Tiles]) -> list[Tiles]:
    """Small sizes make candidates alike: keep the first of each."""
    return list(dict.fromkeys(tiles))
