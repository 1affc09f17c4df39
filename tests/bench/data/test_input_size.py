"""The resize rule, and the paper's 100 images."""

import csv
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench.data.input_size import nominal_sizes, resized

sides = st.integers(1, 5000)


@given(sides, sides, st.integers(1, 1000), st.integers(1, 1500))
def test_the_image_fits_and_is_as_large_as_it_can_be(height: int, width: int, short: int, long: int) -> None:
    scale = min(Fraction(short, min(height, width)), Fraction(long, max(height, width)))
    new_height, new_width = resized(height, width, short, long)
    assert new_height == max(1, int(height * scale))
    assert new_width == max(1, int(width * scale))
    assert max(new_height, new_width) <= max(1, long)
    assert (new_width, new_height) == resized(width, height, short, long)


def test_known_sizes() -> None:
    assert resized(480, 640) == (800, 1066)
    assert resized(384, 640) == (799, 1333)  # as the paper's code; torchvision gives 800
    assert resized(480, 640, 320, 320) == (240, 320)
    assert resized(800, 1333) == (800, 1333)


def test_the_nominal_images_reproduce_the_mean_area_of_the_paper() -> None:
    sizes = nominal_sizes()
    inputs = [resized(height, width) for height, width in sizes]
    mean_area = sum(height * width for height, width in inputs) / len(inputs)
    assert len(sizes) == 100
    assert sizes[0] == (426, 640)
    assert sizes[-1] == (480, 640)
    assert len(set(inputs)) == 41
    assert mean_area == 888_425.9
    assert abs(mean_area / (800 * 1112) - 1) < 0.0015  # the area fitted to nine published GFLOPs


def test_the_nominal_images_are_the_first_by_id(coco_mini: Path) -> None:
    with (coco_mini / "val2017_image_sizes.csv").open() as file:
        rows = sorted((int(row["id"]), int(row["height"]), int(row["width"])) for row in csv.DictReader(file))
    assert nominal_sizes() == [(height, width) for _, height, width in rows[:100]]
