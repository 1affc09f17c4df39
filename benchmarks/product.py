"""From which size on is `sparsity.product` faster as a convolution of one tap than as a plain product of torch?

Times both in turn on one thread, by its CPU time, for sides as heads and sparse convolutions have them.

python -m benchmarks.product
"""

import argparse
import itertools
import statistics
from collections.abc import Sequence
from time import thread_time

import torch
import torch.nn.functional as F

from sparsity import WORTH_CONVOLVING, product

FEATURES = (16, 64, 128, 1152)
OUTPUTS = (16, 64, 256)
ROWS = (256, 1024, 4096, 16384)


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per size: multiply-adds, milliseconds of both, and how many times faster the convolution is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args(arguments).repeats
    torch.set_num_threads(1)
    print(f"{'features':>8} {'outputs':>8} {'rows':>8} {'M MACs':>8} {'plain ms':>9} {'conv ms':>9} {'x':>6}  chosen")
    sizes = sorted(
        itertools.product(FEATURES, OUTPUTS, ROWS), key=lambda sizes: (sizes[0] * sizes[1] * sizes[2], sizes)
    )
    for features, outputs, num_rows in sizes:
        plain, convolved = _times(torch.randn(num_rows, features), torch.randn(outputs, features), repeats)
        macs = features * outputs * num_rows
        chosen = "conv" if macs >= WORTH_CONVOLVING else "plain"
        print(
            f"{features:8d} {outputs:8d} {num_rows:8d} {macs / 1e6:8.1f} {plain:9.3f} {convolved:9.3f} "
            f"{plain / convolved:6.2f}  {chosen}"
        )


def _times(rows: torch.Tensor, weight: torch.Tensor, repeats: int) -> tuple[float, float]:
    """Median milliseconds of the plain product and of the convolution."""
    bias = torch.zeros(len(weight))
    plain: list[float] = []
    convolved: list[float] = []
    for _ in range(repeats + 2):  # two that warm up
        start = thread_time()
        F.linear(rows, weight, bias)
        middle = thread_time()
        product(rows, weight, bias, worth_convolving=0)
        plain.append(1000 * (middle - start))
        convolved.append(1000 * (thread_time() - middle))
    return statistics.median(plain[2:]), statistics.median(convolved[2:])


if __name__ == "__main__":
    main()
