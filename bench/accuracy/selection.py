"""Which predictions and objects take part under a protocol: images that were run, caps, LVIS's federated rules."""

from collections import Counter
from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bench.accuracy.predictions import Predictions
from bench.accuracy.protocol import ScoringProtocol
from bench.data.ground_truth import GroundTruth


class Entries:
    """The rows of a predictions and an annotation file that take part, protocol by protocol.

    `ran` are the images of the annotation file on which the model was run, `place` is the position of each among
    these. Every other array has an entry for every row of a file: `image` and `category` of a prediction are positions
    in the lists of the annotation file, -1 where it has none or the model was not run. A group is an image and a class.
    """

    def __init__(self, truth: GroundTruth, predictions: Predictions, images: Collection[int] | None) -> None:
        self.truth = truth
        self.predictions = predictions
        every = np.ones(len(truth.image_ids), bool)
        self.ran = every if images is None else np.isin(truth.image_ids, list(images))
        self.place = np.cumsum(self.ran) - 1
        image = _positions(predictions.image_id, truth.image_ids)
        self.image = np.where((image >= 0) & np.append(self.ran, False)[image], image, -1)
        self.category = _positions(predictions.category_id, truth.category_ids)
        self.detection_group = self._group(self.image, self.category)
        self.object_group = self._group(truth.image, truth.category)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the annotation file's classes, with the id behind one that several have, or in parentheses."""
        names = self.truth.category_names
        times = Counter(names)
        return tuple(
            name if times[name] == 1 and not name.startswith("(") else f"{name} ({number})"
            for name, number in zip(names, self.truth.category_ids.tolist(), strict=True)
        )

    def detections(self, protocol: ScoringProtocol) -> Int64[np.ndarray, "D"]:
        """Rows of the predictions that take part, in the order of `Matches`.

        First the cap, among predictions of all classes, the file's unknown ones too (lvis-api), then whatever the
        protocol leaves out: predictions without area and, federated, classes that nobody looked for in the image.
        """
        score = self.predictions.score
        per_class = protocol.cap_scope == "image_class"
        rows = np.flatnonzero((self.image >= 0) & ((self.category >= 0) | (not per_class)))
        rows = rows[np.argsort(-score[rows], kind="stable")]
        rows = rows[ranks((self.detection_group if per_class else self.image)[rows]) < protocol.cap]
        rows = rows[self.category[rows] >= 0]
        if protocol.drop_zero_area:
            rows = rows[self.detection_area(protocol)[rows] > 0]
        if protocol.federated:
            present = self.object_group[self.objects(protocol)]
            absent = self._group(*self.truth.negative.T)
            rows = rows[np.isin(self.detection_group[rows], np.concatenate([present, absent]))]
        return rows[np.lexsort((self.image[rows], -score[rows], self.category[rows]))]

    def objects(self, protocol: ScoringProtocol) -> Int64[np.ndarray, "G"]:
        """Rows of the objects that take part, by category, image and place in the file."""
        truth = self.truth
        rows = np.flatnonzero(self.ran[truth.image] & ((truth.area > 0) | (not protocol.drop_zero_area)))
        return rows[np.lexsort((truth.image[rows], truth.category[rows]))]

    def detection_area(self, protocol: ScoringProtocol) -> Float64[np.ndarray, "all_D"]:
        """Pixels of the predictions' masks, or of their boxes (official libraries: wherever results have boxes)."""
        if protocol.detection_area == "mask" and self.predictions.counts:
            return self.predictions.mask_area
        return self.predictions.boxes[:, 2] * self.predictions.boxes[:, 3]

    def not_exhaustive(self, detections: Int64[np.ndarray, "D"]) -> Bool[np.ndarray, "D"]:
        """Whether the class of a detection may have more objects in its image than are annotated."""
        return np.isin(self.detection_group[detections], self._group(*self.truth.not_exhaustive.T))

    def _group(self, image: Int64[np.ndarray, "N"], category: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
        return image * len(self.truth.category_ids) + category


def ranks(group: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
    """How many earlier elements are of the same group."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(group)])
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(begins, np.diff(begins, append=len(group)))
    return rank


def _positions(ids: Int64[np.ndarray, "N"], known: Int64[np.ndarray, "K"]) -> Int64[np.ndarray, "N"]:
    """Where each id is in the ascending list of known ones; -1 where it is not."""
    if len(known) == 0:
        return np.full(len(ids), -1)
    position = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[position] == ids, position, -1)
