"""How figures tell the ways of storage apart: a colour for each, a line for each of its kernels."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from reports.backends import Measured

Line: TypeAlias = Literal["-", "--", ":", "-."]

# Of Okabe and Ito's colours for all kinds of colour vision, as the heads' own.
_COLOURS = {"pointwise": "#D55E00", "neighbors": "#CC79A7", "sparse_on_dense": "#0072B2", "sps": "#009E73"}
_OTHER_COLOUR = "#7F7F7F"
_LINES: tuple[Line, ...] = ("-", "--", ":", "-.")


def colour_of(measured: Measured) -> str:
    """The colour of a backend; Dense and new ones share grey."""
    return _COLOURS.get(measured.backend, _OTHER_COLOUR)


def line_of(measured: Measured, among: Sequence[Measured]) -> Line:
    """The line of a kernel, by its place among those of its backend."""
    kernels = [each.label for each in among if each.backend == measured.backend]
    return _LINES[kernels.index(measured.label) % len(_LINES)]
