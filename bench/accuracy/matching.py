"""Who matched whom: the one table from which every AP, curve and interval comes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bench.accuracy.protocol import ScoringProtocol


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Counted detections and objects under one protocol; A area ranges, T IoU thresholds.

    Detections are ordered by category, falling score, image, place in the file: the order in which precision and
    recall are accumulated. `image` and `category` are positions in `image_ids` (the images of the run that the
    annotation file lists, ascending) and `category_ids`; `rank` is the place among the detections of the same image and
    category, best first from 0. `matched`: a true positive. `ignored`: neither true nor false positive; never both.
    `truth_*` are the objects, those `truth_ignored` do not count as missed.
    """

    protocol: ScoringProtocol
    image_ids: Int64[np.ndarray, "I"]
    category_ids: Int64[np.ndarray, "C"]
    frequencies: tuple[str, ...]
    image: Int32[np.ndarray, "D"]
    category: Int32[np.ndarray, "D"]
    score: Float64[np.ndarray, "D"]
    rank: Int32[np.ndarray, "D"]
    matched: Bool[np.ndarray, "A T D"]
    ignored: Bool[np.ndarray, "A T D"]
    truth_image: Int32[np.ndarray, "G"]
    truth_category: Int32[np.ndarray, "G"]
    truth_ignored: Bool[np.ndarray, "A G"]
