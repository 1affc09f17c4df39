"""Reading one image file as 8-bit RGB in the orientation its annotation was made in, or saying why that is impossible.

Pillow's own conversion clips 16-bit greyscale to white and ignores EXIF rotation; both would feed a model nonsense
without a word. A file that cannot be read as annotated is reported, never repaired.
"""

from pathlib import Path

import numpy as np
from PIL import Image

_ORIENTATION_TAG = 0x0112
# The four EXIF orientations that swap height and width. The others keep the size, and there the raw pixels are taken.
_SWAPPED = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    **_SWAPPED,
}
_MAX_16_BIT = 65535


class Unreadable(Exception):
    """An image file cannot be used; the message is the reason. Caught where images are read, then recorded."""


def read_image(path: Path, size: tuple[int, int]) -> Image.Image:
    """Read an image file as RGB with 8 bits per channel and exactly `size` (height, width), its annotation's size.

    The raw pixels are taken where their size fits: the paper's code and the COCO tools ignore EXIF. Where only the
    EXIF-rotated image fits, it is taken. Alpha is dropped, 16-bit greyscale is scaled by 255/65535, the first frame
    counts. Raises Unreadable for a missing, foreign, truncated or oversized file, unknown pixel ranges, or a size
    that fits in neither orientation.
    """
    try:
        with Image.open(path) as file:
            file.load()
            image = _to_rgb(file)
            orientation = file.getexif().get(_ORIENTATION_TAG)
    except Unreadable:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, struct.error, ...
        raise Unreadable(f"{path.name} cannot be decoded: {error}") from error
    if (image.height, image.width) == size:
        return image
    if orientation in _SWAPPED and (image.width, image.height) == size:
        return image.transpose(_SWAPPED[orientation])
    raise Unreadable(
        f"{path.name} is {image.height} x {image.width} pixels (EXIF orientation {orientation or 'none'}), "
        f"its annotation says {size[0]} x {size[1]}"
    )


def read_any(path: Path) -> Image.Image:
    """Read an image file without an annotation as RGB with 8 bits per channel, turned as every viewer shows it (EXIF).

    Otherwise as `read_image`. Raises Unreadable for a missing, foreign, truncated or oversized file and unknown pixel
    ranges.
    """
    try:
        with Image.open(path) as file:
            file.load()
            turn = _TURNS.get(file.getexif().get(_ORIENTATION_TAG, 1))
            image = _to_rgb(file)
    except Unreadable:
        raise
    except Exception as error:  # as in `read_image`
        raise Unreadable(f"{path.name} cannot be decoded: {error}") from error
    return image if turn is None else image.transpose(turn)


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert an opened image to RGB with 8 bits per channel, not turned. Raises Unreadable as `read_any`."""
    try:
        return _to_rgb(image)
    except Unreadable:
        raise
    except Exception as error:  # one that was opened is decoded only now
        raise Unreadable(f"The image cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        # Mode "I" has 32 bits but in image files holds 16-bit values; beyond them the range is anybody's guess.
        if values.min() < 0 or values.max() > _MAX_16_BIT:
            raise Unreadable(f"32-bit pixels from {values.min():.0f} to {values.max():.0f}: no known range to scale")
        return Image.fromarray(np.rint(values * (255 / _MAX_16_BIT)).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise Unreadable("floating-point pixels: no known range to scale")
    if image.mode == "P":
        image = image.convert("RGBA")  # directly to RGB, Pillow warns about a palette with transparency
    return image.convert("RGB")
