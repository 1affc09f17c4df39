"""Is a processing module that has fewer multiply-adds than SFM faster too? Both at every sparse stage of EffSeg.

All modules in turn on one thread, by its CPU time, in float32 on SPS: 60 regions, 10,000 refined cells an image. `x
share` is the share of SFM's time over the share of its multiply-adds: 1 where a multiply-add costs as much as SFM's. A
module passes where it is faster than SFM at every stage and takes at most 1.5 times its share.

python -m benchmarks.depthwise
python -m benchmarks.depthwise --modules convnext --backend sps:blocked
"""

import argparse
import statistics
from collections.abc import Iterable, Sequence
from time import thread_time

import torch
from torch import nn

from bench.backends.activity import activity, grids
from bench.backends.stages import FEATURES
from bench.rulers.multiply_adds import count_torch, counting
from heads import processing_module
from sparsity import Grid, backend, names, why_kernel

BASELINE = "sfm"

LIMIT = 1.5
"""Times its share of multiply-adds that a module may take of SFM's time."""


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per stage and module: multiply-adds, milliseconds, both as shares of SFM's; then who passes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    # On the full map too there are active cells only; a module that refines all would be measured on something else.
    sparse = [name for name in names("heads._modules") if not processing_module(name).REFINE_ALL]
    parser.add_argument("--modules", nargs="+", choices=sparse, default=sparse)
    parser.add_argument("--backend", default="sps")
    parser.add_argument("--regions", type=int, default=60)
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for operation in ("convolution", "depthwise", "feedforward"):
        print(f"{operation}: {why_kernel(torch.device('cpu'), torch.float32, operation)[0]}")
    made = activity(options.regions, options.budget, torch.Generator().manual_seed(0))
    of_stage = grids(backend(options.backend), made, FEATURES, torch.Generator().manual_seed(0))
    print(f"{'stage':>5} {'module':>22} {'M MACs':>8} {'share':>6} {'ms':>8} {'share':>6} {'x share':>7}")
    chosen = [BASELINE, *(name for name in options.modules if name != BASELINE)]
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen[1:]}
    for stage, grid in enumerate(of_stage[1:], start=1):
        modules = {name: processing_module(name).build(grid.active.shape[1]).eval() for name in chosen}
        macs = {name: _macs(module, grid) for name, module in modules.items()}
        times = _milliseconds(modules, grid, options.repeats)
        for name in chosen:
            of_macs, of_time = macs[name] / macs[BASELINE], times[name] / times[BASELINE]
            print(
                f"{stage:5d} {name:>22} {macs[name] / 1e6:8.0f} {of_macs:6.3f} {times[name]:8.2f} {of_time:6.3f} "
                f"{of_time / of_macs:7.2f}"
            )
            if name != BASELINE:
                shares[name].append((of_time, of_macs))
    for name, of_stages in shares.items():
        times_its_share = [of_time / of_macs for of_time, of_macs in of_stages]
        passes = all(of_time < 1 for of_time, _ in of_stages) and max(times_its_share) <= LIMIT
        print(
            f"{name}: {_listed(of_time for of_time, _ in of_stages)} of {BASELINE}'s time, "
            f"{_listed(of_macs for _, of_macs in of_stages)} of its multiply-adds, "
            f"{_listed(times_its_share)} times its share: {'passes' if passes else 'does not pass'}"
        )


def _listed(of_stages: Iterable[float]) -> str:
    return " / ".join(f"{value:.2f}" for value in of_stages)


def _macs(module: nn.Module, grid: Grid) -> int:
    # In inference mode, counters do not see what a normalisation is made of.
    with torch.inference_mode(False), counting():
        count, _ = count_torch(lambda: module(grid))
    return sum(count.macs.values())


def _milliseconds(modules: dict[str, nn.Module], grid: Grid, repeats: int) -> dict[str, float]:
    """Median of each, all modules once per round, so that what slows the machine down slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(repeats + 1):  # one that warms up
        for name, module in modules.items():
            start = thread_time()
            module(grid)
            times[name].append(1000 * (thread_time() - start))
    return {name: statistics.median(of_module[1:]) for name, of_module in times.items()}


if __name__ == "__main__":
    main()
