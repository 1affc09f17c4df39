"""How well found objects are drawn: the mean IoU of their masks and of their boundaries, without a threshold on it.

APB counts how many outlines reach a boundary IoU; here is how far they go. Which objects are found is told by masks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bench.accuracy.bootstrap import Comparison, comparison, draw
from bench.accuracy.errors import RIGHT, Errors, in_order
from bench.accuracy.overlap import Overlaps, Pairs
from bench.accuracy.protocol import AREA_NAMES, ScoringProtocol
from bench.accuracy.selection import Entries
from bench.accuracy.significance import interval

MEASURES = ("mask", "boundary")


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """The objects that count, and how their prediction overlaps: IoU of `MEASURES` 0-1, NaN where none found one.

    `inside` says which size range an object is of.
    """

    num_images: int
    image: Int32[np.ndarray, "G"]
    inside: Bool[np.ndarray, "A G"]
    iou: Float64[np.ndarray, "2 G"]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The mean IoU of a measure over the found objects of a size, None for all, with its 95 % interval over images."""

    measure: str
    size: str | None
    value: float
    interval: tuple[float, float] | None
    num_objects: int


def outlines(entries: Entries, protocol: ScoringProtocol, overlaps: Overlaps, errors: Errors) -> Outlines:
    """Collect the overlaps of found objects; `errors` are those of the same protocol, which compares masks."""
    rows, objects = in_order(entries, protocol), entries.objects(protocol)
    finder = np.flatnonzero(errors.found >= 0)
    iou = np.full((len(MEASURES), len(objects)), np.nan)
    masks = overlaps.pairs(protocol)
    for measure, pairs in enumerate((masks.only(masks.iou >= RIGHT), overlaps.bands(protocol))):
        iou[measure, errors.found[finder]] = _looked_up(pairs.among(rows, objects), finder, errors.found[finder])
    counts = ~errors.truth_ignored[0]
    return Outlines(
        num_images=len(errors.image_ids),
        image=errors.truth_image[counts],
        inside=~errors.truth_ignored[:, counts],
        iou=iou[:, counts],
    )


def qualities(of: Outlines, *, resamples: int = 1000, seed: int = 0) -> Iterator[Quality]:
    """The means of all objects and by size; sizes of which none was found are left out."""
    for measure, size, chosen in _parts(of):
        values = of.iou[measure]
        chosen = chosen & ~np.isnan(values)
        if chosen.any():
            redrawn = _resampled(of, values, chosen, resamples, seed)
            yield Quality(
                measure=MEASURES[measure],
                size=size,
                value=float(values[chosen].mean()),
                interval=interval(redrawn, 0.95),
                num_objects=int(chosen.sum()),
            )


def compare(
    first: Outlines, second: Outlines, *, resamples: int = 1000, seed: int = 0
) -> Iterator[tuple[str, str | None, int, Comparison]]:
    """Measure, size, number of objects, and what separates the means over the objects that both results found.

    Who finds more and harder objects is not the worse for it. Raises ValueError for results on different objects.
    """
    if not (np.array_equal(first.image, second.image) and np.array_equal(first.inside, second.inside)):
        raise ValueError(
            "The outlines of two results are of different objects. A comparison needs the same objects for both; score "
            "both with one annotation file, on the same images."
        )
    both = ~np.isnan(first.iou + second.iou)
    for measure, size, chosen in _parts(first):
        chosen = chosen & both[measure]
        if chosen.any():
            before, after = (_resampled(each, each.iou[measure], chosen, resamples, seed) for each in (first, second))
            ours, theirs = (float(each.iou[measure, chosen].mean()) for each in (first, second))
            found = comparison(ours, theirs, before, after, num_images=first.num_images)
            yield MEASURES[measure], size, int(chosen.sum()), found


def _parts(of: Outlines) -> Iterator[tuple[int, str | None, Bool[np.ndarray, "G"]]]:
    for measure in range(len(MEASURES)):
        for area, inside in enumerate(of.inside):
            yield measure, AREA_NAMES[area] if area else None, inside


def _resampled(
    of: Outlines, values: Float64[np.ndarray, "G"], chosen: Bool[np.ndarray, "G"], resamples: int, seed: int
) -> Float64[np.ndarray, "B"]:
    """The mean over the chosen objects of resampled images; NaN where there is none, nothing from a single image."""
    if resamples == 0 or of.num_images < 2:
        return np.empty(0)
    weights = draw(of.num_images, resamples, seed)
    image = of.image[chosen]
    sums, num = (np.bincount(image, each, minlength=of.num_images) for each in (values[chosen], None))
    total = weights @ num
    return np.where(total > 0, weights @ sums / np.maximum(total, 1), np.nan)


def _looked_up(
    pairs: Pairs, detection: Int64[np.ndarray, "N"], truth: Int32[np.ndarray, "N"]
) -> Float64[np.ndarray, "N"]:
    """The IoU of pairs that are all there."""
    width = max(pairs.truth.max(initial=0), truth.max(initial=0)) + 1
    keys = pairs.detection * width + pairs.truth
    order = np.argsort(keys)
    return pairs.iou[order[np.searchsorted(keys[order], detection * width + truth)]]
