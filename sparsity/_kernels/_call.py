"""The tasks of a kernel: sparse convolutions, full and depthwise, the signs of the former, and feed-forward blocks."""

from dataclasses import dataclass
from math import isqrt

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int32, UInt8
from torch import Tensor

# Times this, eight bytes of 0 or 1 become eight neighbouring bits in the top byte.
_GATHER_BITS = 0x0102040810204080


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One sparse convolution: everything but the gradient.

    Row 0 of `buffer` is zero and is what neighbours outside the lattice show; its last A rows are the active ones, so
    the cell `cells[i]` shows row `N - A + i`. `rows` says for every cell which row it shows. `weight` has
    D branches, O outputs, T = k*k taps row-major and F features, in the dtype of the buffer; its memory has any layout,
    usually that of a layer, in which taps are neighbours. All else is contiguous. `quads`: rows 4j..4j+3 of `cells` are
    the 2x2 children, row-major, of one parent.

    The result [A O] is `sum_d relu(conv_d + bias_d)` with `activation` and `sum_d (conv_d + bias_d)` without, where
    branch d has dilation `dilations[d]`; in the dtype of the buffer, accumulated in at least float32.

    `signs` [A D ceil(O/8)] uint8 say which branches were above zero: bit b of byte j is output 8j+b, unused bits are
    zero. They are [A D 0] where nobody asked for them; only `activation` has a use for them.
    """

    buffer: Float[Tensor, "N F"]
    rows: Int32[Tensor, "R H W"]
    cells: Int32[Tensor, "A"]
    weight: Float[Tensor, "D O T F"]
    bias: Float[Tensor, "D O"] | None
    dilations: tuple[int, ...]
    activation: bool
    quads: bool

    @property
    def kernel_size(self) -> int:
        """`k`, of T = k*k taps."""
        return isqrt(self.weight.shape[2])


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthwiseCall:
    """One sparse depthwise convolution: every feature of its own, all branches added up, then the bias.

    `buffer`, `rows`, `cells` and `dilations` as in `Call`; all is contiguous. The result [A F] is
    `bias + sum_d sum_t weight[d, t] * neighbour(d, t)`, in the dtype of the buffer, accumulated in at least float32.
    """

    buffer: Float[Tensor, "N F"]
    rows: Int32[Tensor, "R H W"]
    cells: Int32[Tensor, "A"]
    weight: Float[Tensor, "D T F"]
    bias: Float[Tensor, "F"] | None
    dilations: tuple[int, ...]

    @property
    def kernel_size(self) -> int:
        """`k`, of T = k*k taps."""
        return isqrt(self.weight.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class FeedforwardCall:
    """A normalised feed-forward block on many rows: only this one knows no cells.

    The result [N F] is `added + bias_out + weight_out relu(bias_in + weight_in normed)`, where `normed` is
    `torch.nn.functional.layer_norm` of `rows` with `scale`, `shift` and `epsilon`; in the dtype of `rows`, which all
    have. All is contiguous.
    """

    rows: Float[Tensor, "N F"]
    added: Float[Tensor, "N F"]
    scale: Float[Tensor, "F"]
    shift: Float[Tensor, "F"]
    weight_in: Float[Tensor, "hidden F"]
    bias_in: Float[Tensor, "hidden"]
    weight_out: Float[Tensor, "F hidden"]
    bias_out: Float[Tensor, "F"]
    epsilon: float


def num_sign_bytes(outputs: int) -> int:
    """Bytes that hold one bit per output."""
    return (outputs + 7) // 8


def pack(is_positive: Bool[Tensor, "*rows O"]) -> UInt8[Tensor, "*rows _"]:
    """Pack booleans: bit b of byte j is output 8j+b, unused bits are zero."""
    *rows, outputs = is_positive.shape
    num_bytes = num_sign_bytes(outputs)
    eights = F.pad(is_positive, (0, 8 * num_bytes - outputs)).flatten().view(torch.int64)
    return ((eights * _GATHER_BITS) >> 56).to(torch.uint8).view(*rows, num_bytes)


def unpack(signs: UInt8[Tensor, "*rows _"], outputs: int) -> Bool[Tensor, "*rows O"]:
    """Unpack what `pack` packed."""
    bits = signs[..., None] >> torch.arange(8, dtype=torch.uint8, device=signs.device) & 1
    return bits.flatten(-2)[..., :outputs].bool()
