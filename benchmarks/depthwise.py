"""Is a processing module that has fewer multiply-adds than SFM faster too? Both at every sparse stage of EffSeg.

All modules in turn on one thread, by its CPU time, in float32 on SPS: 60 regions, 10,000 refined cells an image. `x
share` is the share of SFM's time over the share of its multiply-adds: 1 where a multiply-add costs as much as SFM's.

python -m benchmarks.depthwise
python -m benchmarks.depthwise --modules convnext --backend sps:blocked
"""

import argparse
import statistics
from collections.abc import Sequence
from time import thread_time

import torch
from torch import nn

from bench.backends.activity import activity, grids
from bench.backends.stages import FEATURES
from bench.rulers.multiply_adds import count_torch, counting
from heads import processing_module
from sparsity import Grid, backend, names, why_kernel

BASELINE = "sfm"


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per stage and module: millions of multiply-adds, milliseconds, and both as shares of SFM's."""
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
    for operation in ("convolution", "depthwise"):
        print(f"{operation}: {why_kernel(torch.device('cpu'), torch.float32, operation)[0]}")
    made = activity(options.regions, options.budget, torch.Generator().manual_seed(0))
    of_stage = grids(backend(options.backend), made, FEATURES, torch.Generator().manual_seed(0))
    print(f"{'stage':>5} {'module':>22} {'M MACs':>8} {'share':>6} {'ms':>8} {'share':>6} {'x share':>7}")
    for stage, grid in enumerate(of_stage[1:], start=1):
        chosen = [BASELINE, *(name for name in options.modules if name != BASELINE)]
        modules = {name: processing_module(name).build(grid.active.shape[1]).eval() for name in chosen}
        macs = {name: _macs(module, grid) for name, module in modules.items()}
        times = _milliseconds(modules, grid, options.repeats)
        for name in chosen:
            of_macs, of_time = macs[name] / macs[BASELINE], times[name] / times[BASELINE]
            print(
                f"{stage:5d} {name:>22} {macs[name] / 1e6:8.0f} {of_macs:6.3f} {times[name]:8.2f} {of_time:6.3f} "
                f"{of_time / of_macs:7.2f}"
            )


def _macs(module: nn.Module, grid: Grid) -> int:
    with counting():
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
