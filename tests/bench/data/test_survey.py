"""One rule for all pictures of a data set, and findings about those that will not be read."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from bench.data.images import ReadingRule, Unreadable, read_image
from bench.data.survey import Survey, survey

CASES = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared")) / "cases"
RAW, TURNED, SQUARE = (24, 40), (40, 24), (30, 30)
ORIENTATION_TAG = 0x0112
RAW_RULE = ReadingRule()
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Make pictures one after the other."""

    def _save(size: tuple[int, int] = RAW, orientation: int | None = None, suffix: str = "jpg") -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.{suffix}"
        exif = Image.Exif()
        if orientation is not None:
            exif[ORIENTATION_TAG] = orientation
        Image.new("RGB", size[::-1], "teal").save(path, exif=exif)
        return path

    return _save


def told(found: Survey) -> dict[str, int]:
    return {finding.name: finding.count for finding in found.findings}


def test_pictures_without_orientations_are_nothing_to_tell(save: Save) -> None:
    found = survey({save(): RAW, save(orientation=1): RAW, save(suffix="png"): RAW})
    assert found == Survey(rule=ReadingRule(), findings=())
    assert survey({}) == found


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_one_picture_that_fits_only_turned_turns_all(suffix: str, save: Save) -> None:
    half_turn = save(orientation=3, suffix=suffix)
    found = survey({save(orientation=6, suffix=suffix): TURNED, half_turn: RAW, save(SQUARE, 8): SQUARE, save(): RAW})
    assert found.rule == ReadingRule(turned=True)
    assert told(found) == {"exif_pictures": 3}
    assert "turned by their EXIF orientation since 1 fit their annotated size only so" in found.findings[0].sentence()


def test_one_picture_that_fits_only_as_stored_turns_none(save: Save) -> None:
    found = survey({save(orientation=6): RAW, save(orientation=3): RAW, save(SQUARE, 8): SQUARE})
    assert found.rule == ReadingRule(turned=False)
    assert told(found) == {"exif_pictures": 3}
    assert "not turned since" in found.findings[0].what


def test_a_contradiction_is_told_and_sizes_decide(save: Save) -> None:
    found = survey({save(orientation=6): RAW, save(orientation=8): TURNED, save(orientation=3): RAW})
    assert found.rule == ReadingRule(turned=False)
    assert "1 need it and 1 must not" in found.findings[0].what


@pytest.mark.parametrize(("size", "orientation"), [(RAW, 2), (RAW, 3), (RAW, 4), (SQUARE, 6)])
def test_without_evidence_pictures_are_as_viewers_show_them(
    size: tuple[int, int], orientation: int, save: Save
) -> None:
    found = survey({save(size, orientation): size, save(): RAW})
    assert found.rule == ReadingRule(turned=True)
    assert told(found) == {"exif_pictures": 1}
    assert "as viewers show them" in found.findings[0].what


def test_tiff_is_no_evidence(save: Save) -> None:
    found = survey({save(orientation=6, suffix="tif"): TURNED, save(orientation=3): RAW})
    assert told(found) == {"exif_pictures": 1}
    assert "as viewers show them" in found.findings[0].what


def test_pictures_that_will_be_skipped_are_named(save: Save, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    sizes = {save(): TURNED, save(orientation=6): (24, 41), tmp_path / "page.jpg": RAW, tmp_path / "no.jpg": RAW}
    found = survey({**sizes, save((1, 1)): (1, 1)})
    assert told(found) == {"misfit_pictures": 2, "unreadable_pictures": 2, "one_pixel_pictures": 1}
    assert (
        found.findings[0].examples[0] == "1.jpg is 24 x 40 pixels (EXIF orientation none), its annotation says 40 x 24"
    )
    for path, size in sizes.items():
        with pytest.raises(Unreadable):
            read_image(path, size, found.rule)


def test_headers_are_enough(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {save(orientation=6, suffix=suffix): RAW for suffix in ("jpg", "png", "webp", "tif", "gif", "bmp")}
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda file: pytest.fail("decoded"))
    survey(sizes)


def grey(path: Path, largest: int, smallest: int = 0, dtype: type = np.uint16) -> Path:
    values = np.linspace(smallest, largest, RAW[0] * RAW[1]).reshape(RAW).astype(dtype)
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(("largest", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (16383, 14)])
def test_the_largest_value_of_all_says_how_many_bits_are_used(largest: int, bits: int, tmp_path: Path) -> None:
    found = survey({grey(tmp_path / "a.png", largest): RAW, grey(tmp_path / "b.tif", largest // 2): RAW})
    assert found.rule == ReadingRule(bits=bits)
    assert told(found) == {"bits_of_pictures": 2}
    assert f"use {bits} of 16 bits, scaled to it" in found.findings[0].what


def test_values_of_16_bits_are_nothing_to_tell(tmp_path: Path) -> None:
    sizes = {grey(tmp_path / f"{number}.png", 2 ** (8 + number)): RAW for number in range(8)}
    assert survey(sizes) == Survey(rule=ReadingRule(), findings=())


def test_values_of_unknown_range_do_not_change_the_rule(tmp_path: Path) -> None:
    wrong = {grey(tmp_path / "a.tif", 70_000, dtype=np.int32): RAW, grey(tmp_path / "b.tif", 9, -1, np.int32): RAW}
    assert survey(wrong).rule == ReadingRule()
    found = survey({**wrong, grey(tmp_path / "c.tif", 4000): RAW})
    assert found.rule == ReadingRule(bits=12)
    assert told(found) == {"unreadable_pictures": 2, "bits_of_pictures": 1}


def png_of_16_bit_colours(path: Path, largest: int) -> Path:
    """Pillow cannot write one: a PNG by hand."""
    values = np.full((*RAW, 3), largest, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", RAW[1], RAW[0], 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(b)) + a + b + struct.pack(">I", zlib.crc32(a + b)) for a, b in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def test_colours_that_would_be_dark_are_told(tmp_path: Path) -> None:
    found = survey({png_of_16_bit_colours(tmp_path / "a.png", 4095): RAW})
    assert told(found) == {"dark_pictures": 1}
    assert "colour pictures that use 12 of 16 bits" in found.findings[0].what
    assert survey({png_of_16_bit_colours(tmp_path / "a.png", 65535): RAW}).findings == ()


def shipped(case: str, split: str = "val2017", suffix: str = "png") -> dict[Path, tuple[int, int]]:
    """Pictures of a case and their annotated sizes."""
    root = CASES / case
    if not root.is_dir():
        pytest.skip(f"no case: {root} is not there; set BENCH_TEST_DATA to the folder that holds cases/")
    images = json.loads((root / "annotations" / f"instances_{split}.json").read_text())["images"]
    return {root / split / f"{i['id']:012d}.{suffix}": (i["height"], i["width"]) for i in images}


def test_the_case_of_half_turns() -> None:
    sizes = shipped("set_exif3")
    found = survey(sizes)
    assert found.rule == ReadingRule(turned=True)
    assert told(found) == {"exif_pictures": 3}
    upright = shipped("set_all_crowd", suffix="jpg")  # the same pictures, before they were turned
    for (path, size), twin in zip(sizes.items(), upright, strict=True):
        shown = np.asarray(read_image(twin, size), float)
        by_rule, raw = (
            np.abs(np.asarray(read_image(path, size, rule)) - shown).mean() for rule in (found.rule, RAW_RULE)
        )
        assert by_rule < raw * 0.7


def test_the_case_of_12_bits() -> None:
    sizes = shipped("set_gray12in16")
    found = survey(sizes)
    assert found.rule == ReadingRule(bits=12)
    assert told(found) == {"bits_of_pictures": 3}
    assert max(np.asarray(read_image(path, size, found.rule)).max() for path, size in sizes.items()) > 100


def test_the_case_of_a_truncated_picture() -> None:
    sizes = shipped("set_truncated", suffix="jpg")
    assert survey(sizes) == Survey(rule=ReadingRule(), findings=())  # its header is whole
    whole, cut, other = sizes.items()
    for path, size in (whole, other):
        assert read_image(path, size).size == (size[1], size[0])
    with pytest.raises(Unreadable, match=r"2\.jpg cannot be decoded: .*truncated"):
        read_image(*cut)
