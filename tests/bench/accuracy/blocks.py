"""Small images of rectangles, for tests in which every overlap is known."""

from collections.abc import Sequence

import numpy as np

from bench.accuracy.errors import across_classes
from bench.accuracy.overlap import Overlaps
from bench.accuracy.protocol import ScoringProtocol
from bench.accuracy.selection import Entries
from tests.bench.accuracy.scenes import Dict, encode, ground_truth, predictions

SIDE = 100

Block = tuple[int, int, int, int]
"""Top, left, height and width."""


def mask(*blocks: Block) -> Dict:
    bitmap = np.zeros((SIDE, SIDE), np.uint8)
    for top, left, height, width in blocks:
        bitmap[top : top + height, left : left + width] = 1
    return encode(bitmap)


def an_object(block: Block, category: int, *, image: int = 1, **fields: float) -> Dict:
    top, left, height, width = block
    own = {"image_id": image, "category_id": category, "segmentation": mask(block), "area": float(height * width)}
    return {"bbox": [left, top, width, height]} | own | fields


def a_result(block: Block | tuple[Block, ...], category: int, score: float, *, image: int = 1) -> Dict:
    blocks = block if isinstance(block[0], tuple) else (block,)
    return {"image_id": image, "category_id": category, "segmentation": mask(*blocks), "score": score}


def entries(
    objects: Sequence[Dict], results: Sequence[Dict], *, num_images: int = 1, **lists: Sequence[int]
) -> Entries:
    """Images from 1 on, classes 1, 2 and 3; `lists` are LVIS's of every image."""
    annotations = {
        "images": [{"id": image + 1, "height": SIDE, "width": SIDE, **lists} for image in range(num_images)],
        "annotations": objects,
        "categories": [{"id": category, "name": f"class {category}"} for category in (1, 2, 3)],
    }
    return Entries(ground_truth(annotations), predictions(results), None)


def with_overlaps(of: Entries, protocol: ScoringProtocol) -> tuple[Entries, ScoringProtocol, Overlaps]:
    """What analyses take."""
    return of, protocol, across_classes(of, [protocol])
