"""Input sizes: the resize rule, and the 100 images on which the paper measures cost and speed. Imports no torch."""

import csv
from importlib import resources


def resized(height: int, width: int, short: int = 800, long: int = 1333) -> tuple[int, int]:
    """Size (height, width) with the short side at `short`, or the long side at `long` where that is smaller.

    Both sides are truncated, as the paper's code does: 384 x 640 becomes 799 x 1333. This is exact arithmetic; there,
    floating point makes 1332 of 1333 on 5 of the 5,000 images of val2017. Other libraries round one of the sides and
    differ by a pixel. `short == long` fits an image into a square.
    """
    if long * min(height, width) < short * max(height, width):
        numerator, denominator = long, max(height, width)
    else:
        numerator, denominator = short, min(height, width)
    return max(1, height * numerator // denominator), max(1, width * numerator // denominator)


def nominal_sizes() -> list[tuple[int, int]]:
    """Original (height, width) of the first 100 val2017 images by image id, on which the paper reports GFLOPs and FPS.

    With this list, costs at the paper's operating point need no image file. Resized to 800/1333 they have 41 distinct
    sizes and 888,425.9 pixels on average.
    """
    text = resources.files("bench.data").joinpath("val2017_first100_sizes.csv").read_text(encoding="ascii")
    return [(int(row["height"]), int(row["width"])) for row in csv.DictReader(text.splitlines())]
