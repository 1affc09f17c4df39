"""SparseOnDense: a full map, and operations compute the active cells only (Sec. 3.2; dynamic convolutions work so).

It reads the same values in the same order as SPS, so both give the same bits. What it pays for is the map: passive
features are repeated for every cell they cover, each update copies all of them, and pointwise layers first have to
select the active rows.
"""

from dataclasses import dataclass

from sparsity import FullMap


@dataclass(frozen=True, kw_only=True, eq=False)
class Backend(FullMap):
    """A grid that stores a feature for every cell and computes the active ones: every operation is the common one."""
