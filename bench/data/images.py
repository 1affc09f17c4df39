"""Reading one image file as 8-bit RGB in the orientation its annotation was made in, or saying why that is impossible.

Pillow's own conversion clips 16-bit greyscale to white and ignores EXIF rotation; both would feed a model nonsense
without a word. A file that cannot be read as annotated is reported, never repaired.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""The EXIF orientations that swap height and width."""

_DEPTHS = (8, 10, 12, 14, 16)
_MAX_16_BIT = 65535
_TAIL = 2**16  # bytes; no EXIF segment of a photograph is longer

Size = tuple[int, int]
"""Height and width in pixels."""


class Unreadable(Exception):
    """An image file cannot be used; the message is the reason. Caught where images are read, then recorded."""


@dataclass(frozen=True, kw_only=True)
class ReadingRule:
    """How all pictures of a data set are read.

    `turned`: as their EXIF orientation says, all of them; otherwise only where a quarter turn makes the size fit.
    `bits`: how many of 16 bits the values of 16-bit greyscale use.
    """

    turned: bool = False
    bits: int = 16


BY_SIZE = ReadingRule()
"""COCO's: the paper's code and the COCO tools ignore EXIF."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a picture says of itself before it is decoded.

    `is_turned`: decoding turns it already (TIFF). `is_grey16`, `is_colour16`: it has 16 bits per channel; Pillow reads
    the upper 8 of those of colours.
    """

    size: Size
    orientation: int | None
    is_turned: bool
    is_grey16: bool
    is_colour16: bool


def read_image(path: Path, size: Size, rule: ReadingRule = BY_SIZE) -> Image.Image:
    """Read an image file as RGB with 8 bits per channel and exactly `size` (height, width), its annotation's size.

    By the default rule, the raw pixels are taken where their size fits; where only the EXIF-rotated image fits, it is
    taken. Alpha is dropped, 16-bit greyscale is scaled to 255, the first frame counts. Raises Unreadable for a
    missing, foreign or truncated file, unknown pixel ranges, or a size that fits in neither orientation; what does not
    fit is not decoded.
    """
    image, orientation = _decoded(path, rule.bits, size)
    if rule.turned:
        image = _upright(image, orientation)
    if (image.height, image.width) == size:
        return image
    if not rule.turned and orientation in QUARTER_TURNS and (image.width, image.height) == size:
        return _upright(image, orientation)
    raise Unreadable(misfit(path, (image.height, image.width), orientation, size))


def read_any(path: Path) -> Image.Image:
    """Read a photograph without an annotation as 8-bit RGB, as a viewer shows it.

    It is turned by its EXIF orientation; 16-bit greyscale is scaled by the bits that its own values use. Raises
    Unreadable for a missing, foreign or truncated file, unknown pixel ranges, and more pixels than Pillow decodes.
    """
    return _upright(*_decoded(path, bits=None))


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert an opened image to RGB with 8 bits per channel, not turned. Raises Unreadable as `read_any`."""
    try:
        return _to_rgb(image, bits=None)
    except Unreadable:
        raise
    except Exception as error:  # one that was opened is decoded only now
        raise Unreadable(f"The image cannot be decoded: {error}") from error


def read_header(path: Path) -> Header:
    """Read what is known of a picture without decoding it. Raises Unreadable."""
    try:
        with _opened(path) as file:
            channels = (
                str(file.tile) if isinstance(file, ImageFile.ImageFile) and file.format in ("PNG", "TIFF") else ""
            )
            return Header(
                size=(file.height, file.width),
                orientation=_early_orientation(file, path),
                is_turned=file.format == "TIFF",
                is_grey16=file.mode.startswith("I"),
                is_colour16=";16" in channels and not file.mode.startswith("I"),
            )
    except Exception as error:
        raise _reason(path, error) from error


def bits_used(path: Path) -> int:
    """How many bits the values of a picture with 16 per channel use, as cameras have them: 8, 10, 12, 14 or 16.

    Decodes it. Raises Unreadable.
    """
    try:
        with _opened(path) as file:
            file.load()
            if file.mode.startswith("I"):
                return _depth(int(_values(file).max()))
            bands = [band for name, band in zip(file.getbands(), file.split(), strict=True) if name != "A"]
            return _depth(max(int(np.asarray(band).max()) for band in bands) * 256 + 255)
    except Exception as error:
        raise _reason(path, error) from error


def _opened(path: Path) -> Image.Image:
    if path.exists() and not path.is_file():  # a pipe would wait for its writer
        raise Unreadable(f"{path.name} is no regular file")
    return Image.open(path)


def _reason(path: Path, error: Exception) -> Unreadable:
    """Pillow's decoders raise many kinds: OSError, SyntaxError, struct.error, ..."""
    if isinstance(error, Unreadable):
        return error
    return Unreadable(f"{path.name} cannot be decoded: {error}")


def _decoded(path: Path, bits: int | None, size: Size | None = None) -> tuple[Image.Image, int | None]:
    """Pixels as RGB, and the EXIF orientation that they are not in yet. With `size`, no other is decoded."""
    try:
        with _opened(path) as file:
            if size is not None and size not in ((file.height, file.width), (file.width, file.height)):
                raise Unreadable(misfit(path, (file.height, file.width), _early_orientation(file, path), size))
            file.load()
            image = _to_rgb(file, bits)
            return image, file.getexif().get(_ORIENTATION_TAG)
    except Exception as error:
        raise _reason(path, error) from error


def misfit(path: Path, size: Size, orientation: int | None, annotated: Size) -> str:
    """Why a picture cannot be the one that was annotated."""
    return (
        f"{path.name} is {size[0]} x {size[1]} pixels (EXIF orientation {orientation or 'none'}), "
        f"its annotation says {annotated[0]} x {annotated[1]}"
    )


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _early_orientation(file: Image.Image, path: Path) -> int | None:
    """The EXIF orientation of a picture that is not decoded; some programs write it behind the pixels of a PNG."""
    if file.format == "PNG" and "exif" not in file.info:
        with path.open("rb") as content:
            content.seek(max(0, path.stat().st_size - _TAIL))
            _, found, behind = content.read().partition(b"eXIf")
        if found:
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + behind)
            return exif.get(_ORIENTATION_TAG)
    # That of the class itself: PNG's own decodes the picture to see what is behind the pixels.
    return Image.Image.getexif(file).get(_ORIENTATION_TAG)


def _values(image: Image.Image) -> NDArray[np.integer]:
    """Values [H W] of 16-bit greyscale. Raises Unreadable for others: the range of 32 bits is anybody's guess."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > _MAX_16_BIT:
        raise Unreadable(f"32-bit pixels from {values.min()} to {values.max()}: no known range to scale")
    return values


def _depth(largest: int) -> int:
    return next(bits for bits in _DEPTHS if largest < 2**bits)


def _to_rgb(image: Image.Image, bits: int | None) -> Image.Image:
    """Convert to 8-bit RGB; 16-bit greyscale uses `bits`, or as many as its largest value needs."""
    if image.mode.startswith("I"):
        values = _values(image)
        limit = 2 ** (bits or _depth(int(values.max()))) - 1
        if values.max() > limit:
            raise Unreadable(f"16-bit pixels of up to {values.max()}, those of its data set end at {limit}")
        scaled = np.empty(values.shape, np.uint8)
        for into, row in zip(scaled, values, strict=True):  # all in float64 would take eight times the room
            into[:] = np.rint(row * (255 / limit))
        return Image.fromarray(scaled).convert("RGB")
    if image.mode == "F":
        raise Unreadable("floating-point pixels: no known range to scale")
    if image.mode == "P":
        image = image.convert("RGBA")  # directly to RGB, Pillow warns about a palette with transparency
    return image.convert("RGB")
