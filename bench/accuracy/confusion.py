"""Which class is taken for which: objects and predictions matched by overlap alone, whatever their classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from bench.accuracy.errors import RIGHT, in_order
from bench.accuracy.matching import choose, outside_sizes
from bench.accuracy.overlap import Overlaps
from bench.accuracy.protocol import ScoringProtocol
from bench.accuracy.selection import Entries

NOTHING = "(background)"
"""The name of the row of predictions that found no object, and of the column of objects that none found."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How many objects of each class (row) were found by a prediction of each class (column); the last is background.

    `names` are those of the classes, then `NOTHING`.
    """

    names: tuple[str, ...]
    counts: Int64[np.ndarray, "C1 C1"]

    def cells(self) -> Iterator[tuple[str, str, int]]:
        """Class of the object, class of the prediction and number, where there are any."""
        for row, column in np.argwhere(self.counts).tolist():
            yield self.names[row], self.names[column], int(self.counts[row, column])


def confusion(entries: Entries, protocol: ScoringProtocol, overlaps: Overlaps) -> Confusion:
    """Match at an IoU of 0.5, whatever the classes: the best prediction of an image chooses first.

    All predictions under the cap take part, however low their score: most of the background row. Left out are crowds
    and what is found in them, and predictions that found nothing of classes that were not looked for in the image.
    `overlaps` are those of `bench.accuracy.errors.across_classes`.
    """
    truth = entries.truth
    rows, objects = in_order(entries, protocol), entries.objects(protocol)
    crowd = truth.crowd[objects] & (not protocol.federated)
    shunned = truth.ignore[objects] if protocol.federated else crowd
    ignored = shunned | outside_sizes(truth.area[objects], protocol)[0]
    hits = overlaps.pairs(protocol)
    matched, excused, whom = (
        found[:, 0, 0]
        for found in choose(
            hits.only(hits.iou >= RIGHT).among(rows, objects),
            entries.image[rows],
            ignored[:, None],
            crowd,
            np.array([RIGHT]),
        )
    )
    asked = np.isin(rows, entries.detections(protocol))
    if protocol.federated:
        asked &= ~entries.not_exhaustive(rows)
    size = len(truth.category_ids) + 1
    counts = np.zeros((size, size), np.int64)
    category, truth_category = entries.category[rows], truth.category[objects]
    np.add.at(counts, (truth_category[whom[matched]], category[matched]), 1)
    np.add.at(counts, (-1, category[~matched & ~excused & asked]), 1)
    lost = ~ignored
    lost[whom[matched]] = False
    np.add.at(counts, (truth_category[lost], -1), 1)
    return Confusion(names=(*entries.class_names, NOTHING), counts=counts)
