"""Run odd shapes through native.c as compiled with sanitizers, whose path is the argument: they end the process."""

import ctypes
import sys
from itertools import product

import torch

from sparsity._kernels import native
from sparsity._kernels.native import _depthwise, _feedforward, _library
from tests.sparsity._kernels.made_up import made_up, made_up_depthwise, made_up_feedforward

SHAPES = ((1, 1, 1, (1,)), (3, 5, 3, (1, 6)), (33, 70, 3, (1,)), (17, 9, 5, (1, 2)), (130, 2, 3, (2,)))


def main() -> None:
    """Forward and backward, with every instruction set that this CPU has."""
    library = ctypes.CDLL(sys.argv[1])
    _library.library = lambda: library  # type: ignore[assignment]
    torch.set_num_threads(2)
    calls = [
        made_up(features=features, outputs=outputs, kernel_size=kernel_size, dilations=dilations, kept_shares=shares)
        for (features, outputs, kernel_size, dilations), shares in product(SHAPES, ((), (0.6, 0.4), (0.5, 0.0)))
    ]
    # Enough rows for Winograd, and not a multiple of any tile.
    calls.append(made_up(features=32, outputs=33, dilations=(1, 3), size=(3, 20, 20), kept_shares=(0.2575,)))
    for call, instructions in product(calls, native.instruction_sets(torch.float32)):
        out, signs = native.convolve(call, True, instructions)
        native.differentiate(call, signs, out, (True, True, True), instructions)
        channels = made_up_depthwise(call)
        _depthwise.differentiate_depthwise(
            channels, _depthwise.convolve_depthwise(channels, instructions), (True, True), instructions
        )
    for sizes, instructions in product(
        ((0, 3, 5), (1, 1, 1), (13, 33, 70), (97, 17, 300)), native.instruction_sets(torch.float32)
    ):
        _feedforward.compute_feedforward(made_up_feedforward(*sizes), instructions)
    for (features, outputs, kernel_size, dilations), name in product(SHAPES, native.instruction_sets(torch.bfloat16)):
        made = made_up(
            features=features, outputs=outputs, kernel_size=kernel_size, dilations=dilations, dtype=torch.bfloat16
        )
        native.convolve(made, True, name)
    print("clean")


if __name__ == "__main__":
    main()
