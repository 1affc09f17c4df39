"""What a kernel computes: one sparse convolution of several branches, and the signs that its backward needs."""

from dataclasses import dataclass

from jaxtyping import Float, Int32
from torch import Tensor


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
