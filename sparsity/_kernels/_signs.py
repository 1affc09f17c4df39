"""Signs of branches as bits: which outputs were above zero, 8 to a byte; what a backward needs of the activation."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8
from torch import Tensor

# Times this, eight bytes of 0 or 1 become eight neighbouring bits in the top byte.
_GATHER_BITS = 0x0102040810204080


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
