"""Image files of every kind become the 8-bit RGB image that was annotated, or are reported."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from bench.data.images import ReadingRule, Unreadable, as_rgb, bits_used, read_any, read_header, read_image

HEIGHT, WIDTH = 24, 40
ORIENTATION_TAG = 0x0112


def colours() -> Image.Image:
    """An image without symmetry, so that every flip and rotation shows."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return Image.fromarray(np.stack([rows * 10, columns * 6, rows + columns], -1).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK"])
def test_every_mode_is_read_as_the_colours_it_shows(mode: str, tmp_path: Path) -> None:
    image = colours().convert(mode)
    path = tmp_path / "image.file"
    image.save(path, format="TIFF" if mode == "CMYK" else "PNG")
    read = read_image(path, (HEIGHT, WIDTH))
    assert read.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(read), np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = colours().convert("P")
    image.save(tmp_path / "image.png", transparency=bytes(range(256)))
    read = read_image(tmp_path / "image.png", (HEIGHT, WIDTH))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_is_read(tmp_path: Path) -> None:
    Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)).save(tmp_path / "image.jpg", quality=95)
    red, green, blue = np.asarray(read_image(tmp_path / "image.jpg", (HEIGHT, WIDTH)))[5, 5]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize(("suffix", "dtype"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("tif", "<i4")])
def test_16_bit_greyscale_is_scaled_and_not_clipped(suffix: str, dtype: str, tmp_path: Path) -> None:
    values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(dtype)
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(values).save(path)
    read = np.asarray(read_image(path, (HEIGHT, WIDTH))).astype(float)
    assert np.abs(read - values[..., None] / 257).max() <= 0.5


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.full((HEIGHT, WIDTH), 70_000, np.int32)),
        Image.fromarray(np.full((HEIGHT, WIDTH), -1, np.int32)),
        Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32)),
    ],
)
def test_pixels_of_unknown_range_are_reported(image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "image.tif")
    with pytest.raises(Unreadable, match="no known range"):
        read_image(tmp_path / "image.tif", (HEIGHT, WIDTH))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_rotated_image_is_turned_only_where_the_annotation_was(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    colours().save(path, exif=exif)
    with Image.open(path) as stored:
        raw, turned = np.asarray(stored.convert("RGB")), np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(read_image(path, (HEIGHT, WIDTH))), raw)
    np.testing.assert_array_equal(np.asarray(read_image(path, (WIDTH, HEIGHT))), turned)


@pytest.mark.parametrize("orientation", [None, 1, 3])
def test_without_a_quarter_turn_a_transposed_annotation_does_not_fit(orientation: int | None, tmp_path: Path) -> None:
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION_TAG] = orientation
    colours().save(tmp_path / "image.jpg", exif=exif)
    with pytest.raises(Unreadable, match=r"24 x 40 pixels .* annotation says 40 x 24"):
        read_image(tmp_path / "image.jpg", (WIDTH, HEIGHT))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_reported_and_never_padded(part: float, suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT * 8, WIDTH * 8, 3), np.uint8)
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(Unreadable, match=f"image.{suffix} cannot be decoded"):
        read_image(path, (HEIGHT * 8, WIDTH * 8))


def test_what_is_no_image_or_not_there_is_reported(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>404 Not Found</html>")
    for name in ("page.jpg", "absent.jpg"):
        with pytest.raises(Unreadable, match=f"{name} cannot be decoded"):
            read_image(tmp_path / name, (HEIGHT, WIDTH))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rule_turns_all_pictures_as_viewers_do(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    colours().save(path, exif=exif)
    with Image.open(path) as stored:
        turned = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    read = read_image(path, (turned.shape[0], turned.shape[1]), ReadingRule(turned=True))
    np.testing.assert_array_equal(np.asarray(read), turned)
    np.testing.assert_array_equal(np.asarray(read_any(path)), turned)
    if orientation >= 5:
        with pytest.raises(Unreadable, match=f"orientation {orientation}.*annotation says 24 x 40"):
            read_image(path, (HEIGHT, WIDTH), ReadingRule(turned=True))


def test_tiff_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    colours().save(tmp_path / "image.tif", exif=exif)
    turned = np.asarray(colours().transpose(Image.Transpose.ROTATE_270))
    for rule in (ReadingRule(), ReadingRule(turned=True)):
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "image.tif", (WIDTH, HEIGHT), rule)), turned)
    np.testing.assert_array_equal(np.asarray(read_any(tmp_path / "image.tif")), turned)
    assert read_header(tmp_path / "image.tif").is_turned


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_values_of_fewer_bits_fill_the_range(bits: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    values = np.linspace(0, 2**bits - 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(values).save(path)
    assert bits_used(path) == bits
    expected = np.rint(values * (255 / (2**bits - 1)))
    for read in (read_image(path, (HEIGHT, WIDTH), ReadingRule(bits=bits)), read_any(path)):
        np.testing.assert_array_equal(np.asarray(read)[..., 0], expected)
    if bits > 8:
        with pytest.raises(Unreadable, match=f"16-bit pixels of up to {2**bits - 1}, those of its data set end at 255"):
            read_image(path, (HEIGHT, WIDTH), ReadingRule(bits=8))


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "HSV", "PA", "F"])
def test_photographs_of_every_mode_are_read_or_reported(mode: str, tmp_path: Path) -> None:
    if mode in ("LAB", "YCbCr", "F"):
        image = colours().convert("RGB" if mode == "LAB" else mode)
        image = Image.frombytes("LAB", image.size, image.tobytes()) if mode == "LAB" else image
        image.save(tmp_path / "image.tif")
    else:
        colours().convert("RGBA").quantize(8).save(tmp_path / "image.tif", format="PNG", transparency=0)
    if mode == "F":
        with pytest.raises(Unreadable, match="floating-point pixels"):
            read_any(tmp_path / "image.tif")
    else:
        assert read_any(tmp_path / "image.tif").mode == "RGB"


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_the_first_frame_counts(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (4, 3), "white").save(path, save_all=True, append_images=[Image.new("RGB", (4, 3), "black")])
    assert np.asarray(read_any(path)).min() > 250
    assert np.asarray(read_image(path, (3, 4))).min() > 250


@pytest.mark.parametrize("annotated", [(24, 39), (40, 40), (240, 400)])
def test_what_is_not_of_the_annotated_size_is_never_decoded(
    annotated: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    for suffix in ("png", "jpg"):
        colours().save(tmp_path / f"image.{suffix}", exif=exif)
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda file: pytest.fail("decoded"))
        with pytest.raises(Unreadable, match=r"24 x 40 pixels .EXIF orientation 6., its annotation says \d+ x \d+"):
            read_image(tmp_path / f"image.{suffix}", annotated)
        monkeypatch.undo()


def test_exif_behind_the_pixels_of_a_png_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    made = io.BytesIO()
    colours().save(made, format="PNG", exif=exif)
    content = made.getvalue()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    (tmp_path / "image.png").write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    assert read_header(tmp_path / "image.png").orientation == 6
    assert read_any(tmp_path / "image.png").size == (HEIGHT, WIDTH)


def test_photographs_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>404 Not Found</html>")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    (tmp_path / "folder.jpg").mkdir()
    colours().save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    for name in ("page.jpg", "empty.png", "pipe.jpg", "folder.jpg", "cut.jpg", "absent.jpg"):
        with pytest.raises(Unreadable, match=name):
            read_any(tmp_path / name)
        if name != "cut.jpg":
            with pytest.raises(Unreadable, match=name):
                read_header(tmp_path / name)


@pytest.mark.parametrize("orientation", range(10))
def test_without_an_annotation_an_image_is_turned_as_viewers_show_it(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    path = tmp_path / "photo.png"
    colours().save(path, exif=exif)
    with Image.open(path) as file:
        wanted = ImageOps.exif_transpose(file)
        assert (np.array(as_rgb(file)) == np.array(colours())).all(), "one that was opened is taken as it is"
    assert (np.array(read_any(path)) == np.array(wanted)).all()


def test_an_image_without_an_annotation_may_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    for unreadable in (path, tmp_path / "missing.png"):
        with pytest.raises(Unreadable):
            read_any(unreadable)
    colours().save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:70])
    with pytest.raises(Unreadable, match="cannot be decoded"), Image.open(tmp_path / "cut.png") as file:
        as_rgb(file)
