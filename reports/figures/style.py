"""How all figures look, and how a drawing becomes SVG inside a page: transparent, its ink the colour of the text."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
import matplotlib.colors
import matplotlib.figure
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.typing import RcKeyType

from reports.select.measured import Measured

Drawing = matplotlib.figure.Figure
Line: TypeAlias = Literal["-", "--", ":", "-."]

# No colour of a drawing is this one; in the page it becomes that of the text, light or dark.
INK = "#010203"
FAINT = "#010204"

_PRINTED = {INK: "#000000", FAINT: "#CCCCCC"}

# Of Okabe and Ito's colours for all kinds of colour vision, those that stand out from white and from black alike; then
# six that are far from these and from each other, where red and green look alike too.
_COLOURS = {"mask_rcnn": "#0072B2", "point_rend": "#D55E00", "refine_mask": "#CC79A7", "effseg": "#009E73"}
_COLOURS |= {"bmask": "#7C55F5", "query_dot": "#C00030", "two_way": "#B09030"}
_COLOURS |= {"patch_dct": "#56B4E9", "transfiner": "#A8703A", "boundary_former": "#3E8CA5"}
_OTHER_COLOUR = "#7F7F7F"
_MARKERS = {"mask_rcnn": "s", "point_rend": "^", "refine_mask": "D", "effseg": "o"}
_MARKERS |= {
    "bmask": "v",
    "query_dot": "*",
    "two_way": "P",
    "patch_dct": "<",
    "transfiner": ">",
    "boundary_former": "p",
}
_OTHER_MARKER = "X"

_BACKEND_COLOURS = {"pointwise": "#D55E00", "neighbors": "#CC79A7", "sparse_on_dense": "#0072B2", "sps": "#009E73"}
_LINES: tuple[Line, ...] = ("-", "--", ":", "-.")

_RULES: dict[RcKeyType, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 6.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
    "image.interpolation": "none",  # pixels of masks are enlarged, not blurred
    "path.simplify_threshold": 0.3,  # in points: less than a pixel of a mask
    "pdf.fonttype": 42,  # letters as letters: many publishers refuse outlines
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
    "text.parse_math": False,  # a name may have a dollar sign
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A finished figure: `name` is its anchor, `svg` an element to put into a page, `caption` sentences below.

    `pdf` is the same for print: a whole file, its ink black. `is_origin` tells those that show how something was made
    from results.
    """

    name: str
    title: str
    svg: str
    caption: tuple[str, ...]
    pdf: bytes = b""
    is_origin: bool = False


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save in the house style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RULES)
        yield


def colour(head: str | None) -> str:
    """The colour of a head; new heads share one."""
    return _COLOURS.get(head or "", _OTHER_COLOUR)


def marker(head: str | None) -> str:
    """The marker of a head, which tells it apart where colours do not."""
    return _MARKERS.get(head or "", _OTHER_MARKER)


def label_bar(axes: Axes, text: str, x: float, y: float, *, below: bool = False, bold: bool = False) -> None:
    """Write what a point is at the end (`x`, `y`) of its bar: above, or below, where no other bar can be."""
    axes.annotate(
        text,
        (x, y),
        xytext=(0, -4 if below else 4),
        ha="center",
        va="top" if below else "bottom",
        textcoords="offset points",
        fontsize=8,
        fontweight="bold" if bold else "normal",
    )


def svg(drawing: Drawing, name: str, description: str) -> str:
    """The drawing as an SVG element; the same drawing gives the same text. Call it within `house_style`.

    Several of them can be in one page: names inside it begin with `name`. `description` is for those who do not see it.
    """
    content = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        # `savefig` would draw everything twice: once more to place it, which drawing does anyhow.
        FigureCanvasSVG(drawing).print_svg(content, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\g<1>#{name}-", text)
    text = re.sub(r' d="[^"]*"', _without_invisible_digits, text)
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint, #8888)")
    return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(description)}" ', 1)


def pdf(drawing: Drawing) -> bytes:
    """The drawing as a PDF file; the same drawing gives the same bytes. Call it within `house_style`, after `svg`."""
    for artist in drawing.findobj():
        _make_printable(artist)
    drawing.set_layout_engine("none")  # everything stands where `svg` has put it; to place it again takes long
    content = io.BytesIO()
    FigureCanvasPdf(drawing).print_pdf(content, metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return content.getvalue()


def _make_printable(artist: Artist) -> None:
    """Give an artist black ink and grey lines instead of the colours that stand for those of a page."""
    for part in ("color", "edgecolor", "facecolor"):
        known = getattr(artist, f"get_{part}", None)
        found = known() if known is not None else None
        if isinstance(found, str | tuple) and mpl.colors.is_color_like(found):
            printed = _PRINTED.get(mpl.colors.to_hex(found))
            if printed is not None:
                getattr(artist, f"set_{part}")(printed)


def _without_invisible_digits(path: re.Match[str]) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", path[0])


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def colour_of(measured: Measured) -> str:
    """The colour of a backend; Dense and new ones share grey."""
    return _BACKEND_COLOURS.get(measured.subject.backend or "", _OTHER_COLOUR)


def line_of(measured: Measured, among: Sequence[Measured]) -> Line:
    """The line of a kernel, by its place among those of its backend."""
    kernels = [each.backend for each in among if each.subject.backend == measured.subject.backend]
    return _LINES[kernels.index(measured.backend) % len(_LINES)]
