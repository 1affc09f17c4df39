"""A matrix product of many rows by the faster of the two libraries that torch has for it on a CPU."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

WORTH_CONVOLVING = 2**23
"""Multiply-adds from which on a product repays what a convolution takes to start, whatever its sides are."""


def product(
    rows: Float[Tensor, "N F"],
    weight: Float[Tensor, "G F"],
    bias: Float[Tensor, "G"] | None = None,
    *,
    worth_convolving: int = WORTH_CONVOLVING,
) -> Float[Tensor, "N G"]:
    """`rows @ weight.T + bias`; in float32 on a CPU, from `worth_convolving` multiply-adds on, as a convolution.

    torch gives a convolution to oneDNN and a matrix product to MKL, which takes about twice as long on the AMD
    processor that this was measured on (`benchmarks/product.py`). A kernel of one tap has no use for a dilation; it is
    there because torch keeps a plain one from oneDNN where there is one thread and one image.
    """
    is_large = len(rows) * weight.numel() >= worth_convolving
    if not is_large or rows.dtype != torch.float32 or rows.device.type != "cpu":
        return F.linear(rows, weight, bias)
    image = rows[None, None].permute(0, 3, 1, 2)
    convolved = F.conv2d(image, weight[:, :, None, None], bias, dilation=2)
    return convolved.permute(0, 2, 3, 1)[0, 0]
