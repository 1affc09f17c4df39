"""COCO's compressed run lengths of many masks at once, read as columns: checked, and measured without decoding.

A mask is a string. It alternates runs of 0 and of 1 in column order, each number written in characters '0' to 'o' of
six bits: five of the number, lowest first, and one that says that more follow. From the fourth on a number is the
difference to the run two before. pycocotools reads such strings one by one and trusts them: a damaged one makes it
hang or read pixels that are not there, so nothing reaches it that was not checked here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

# Memory is proportional to it, and smaller arrays stay in the processor's cache.
_CHARACTERS_AT_ONCE = 2**17

# pycocotools shifts 32-bit numbers, so it misreads longer ones. Six characters reach 2**29 pixels.
_LONGEST_NUMBER = 6

_ILLEGAL, _CUT_OFF, _TOO_LONG, _WRONG_SUM = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Extents:
    """Of every mask its pixels and its bounding box (x, y, width, height), all 0 for a mask without a pixel.

    A mask is `canonical` if no run but the first is empty. pycocotools decodes other masks correctly, but their boxes
    and overlaps can come out wrong.
    """

    area: Float64[np.ndarray, "N"]
    boxes: Float64[np.ndarray, "N 4"]
    canonical: Bool[np.ndarray, "N"]


@dataclass(frozen=True, kw_only=True)
class Damage:
    """The first mask whose run lengths are damaged, and what is wrong, expected and to be done."""

    index: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """Pairs of a run of 0 and the run of 1 after it, of N masks, one mask after the other.

    `first` is the first pair of every mask. `padded` says that its last run of 1 is not in the string, but added here.
    `fault` is the reason why its string is none, or 0; the runs of such a mask mean nothing.
    """

    zeros: Int32[np.ndarray, "L"]
    ones: Int32[np.ndarray, "L"]
    first: Int64[np.ndarray, "N"]
    padded: Bool[np.ndarray, "N"]
    fault: Int64[np.ndarray, "N"]


def measure(counts: Sequence[bytes], sizes: Int64[np.ndarray, "N 2"]) -> Extents | Damage:
    """Measure masks given as compressed run lengths and as sizes (height, width), or say which is the first damaged.

    Area and box are pycocotools.mask's `area` and `toBbox` where these are right (see `canonical`).
    """
    area = np.zeros(len(counts))
    boxes = np.zeros((len(counts), 4))
    canonical = np.ones(len(counts), bool)
    for part in _parts(counts):
        runs = _parse(counts[part])
        fault = _fault(runs, sizes[part].prod(axis=1))
        if fault.any():
            index = int(np.argmax(fault > 0))
            reason = _explain(int(fault[index]), runs, index, sizes[part][index])
            return Damage(index=part.start + index, reason=reason)
        canonical[part] = _is_canonical(runs)
        area[part], boxes[part] = _extents(runs, sizes[part, 0])
    return Extents(area=area, boxes=boxes, canonical=canonical)


def runs_of_ones(counts: Sequence[bytes]) -> Iterator[Int32[np.ndarray, "K 2"]]:
    """Read where, in column order, each run of 1 of a mask starts and stops, for every mask; no run is empty.

    The masks must be undamaged.
    """
    if not counts:
        return
    runs = _parse(counts)
    stops = _running_sums(runs.zeros + runs.ones, runs.first)
    bounds = np.stack([stops - runs.ones, stops], axis=1)
    for mask in np.split(bounds, runs.first[1:]):
        yield mask[mask[:, 0] < mask[:, 1]]


def _parts(counts: Sequence[bytes]) -> Iterator[slice]:
    """Cut the masks into stretches of about equally many characters."""
    characters = np.cumsum([len(text) for text in counts], dtype=np.int64)
    start = 0
    while start < len(counts):
        done = characters[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(characters, done + _CHARACTERS_AT_ONCE)))
        yield slice(start, stop)
        start = stop


def _parse(counts: Sequence[bytes]) -> _Runs:
    """Read the runs of many strings. One that is cut off runs on into those after it: only the first fault is sure."""
    bits = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(48)  # characters below '0' wrap to above 63
    ends = np.cumsum([len(text) for text in counts], dtype=np.int64)
    begins = np.concatenate([[0], ends[:-1]])
    fault = np.zeros(len(counts), np.int64)

    is_last = bits & 0x20 == 0
    filled = np.flatnonzero(begins < ends)
    fault[filled[~is_last[ends[filled] - 1]]] = _CUT_OFF
    fault[np.searchsorted(ends, np.flatnonzero(bits > 63), side="right")] = _ILLEGAL

    last = np.flatnonzero(is_last)
    start = np.concatenate([[0], last[:-1] + 1])[: len(last)]
    num_characters = last - start + 1
    too_long = np.searchsorted(ends, last[num_characters > _LONGEST_NUMBER], side="right")
    fault[too_long] = np.where(fault[too_long] == 0, _TOO_LONG, fault[too_long])

    numbers = (bits[start] & 0x1F).astype(np.int32)
    for place in range(1, _LONGEST_NUMBER):
        longer = np.flatnonzero(num_characters > place)
        numbers[longer] |= (bits[start[longer] + place] & 0x1F).astype(np.int32) << 5 * place
    negative = np.flatnonzero(bits[last] & 0x10)
    numbers[negative] -= np.int32(1) << 5 * np.minimum(num_characters[negative], _LONGEST_NUMBER).astype(np.int32)
    return _pair(numbers, np.searchsorted(last, begins), fault)


def _pair(numbers: Int32[np.ndarray, "M"], first: Int64[np.ndarray, "N"], fault: Int64[np.ndarray, "N"]) -> _Runs:
    """Undo the differences: runs 1, 3, 5, ... of a mask are one chain, runs 2, 4, 6, ... the other, run 0 is in none.

    Sums are those of 32 bits, as in pycocotools. A mask without any number gets a pair too: a mask of no pixels.
    """
    num_numbers = np.diff(first, append=len(numbers))
    num_pairs = np.maximum((num_numbers + 1) // 2, 1)
    first_pair = np.cumsum(num_pairs) - num_pairs
    slots = np.zeros(2 * num_pairs.sum(), np.int32)
    slots[np.arange(len(numbers)) + np.repeat(2 * first_pair - first, num_numbers)] = numbers
    zeros, ones = slots[0::2].copy(), slots[1::2].copy()
    beginning = zeros[first_pair]
    zeros[first_pair] = 0
    zeros, ones = _running_sums(zeros, first_pair), _running_sums(ones, first_pair)
    zeros[first_pair] = beginning
    padded = num_numbers % 2 == 1
    ones[(first_pair + num_pairs)[padded] - 1] = 0  # the padding took part in the sums
    return _Runs(zeros=zeros, ones=ones, first=first_pair, padded=padded, fault=fault)


def _running_sums(values: Int32[np.ndarray, "L"], first: Int64[np.ndarray, "N"]) -> Int32[np.ndarray, "L"]:
    """Sum up from the first value of each mask on: one sum over all, from which every mask first takes the last one."""
    reset = values.copy()
    reset[first[1:]] -= np.add.reduceat(values, first)[:-1]
    return np.cumsum(reset, dtype=np.int32)


def _fault(runs: _Runs, pixels: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
    """Say of every mask why it is damaged, or 0."""
    shortest = np.minimum(np.minimum.reduceat(runs.zeros, runs.first), np.minimum.reduceat(runs.ones, runs.first))
    wrong_sum = (shortest < 0) | (_sums(runs) != pixels)
    return np.where((runs.fault == 0) & wrong_sum, _WRONG_SUM, runs.fault)


def _sums(runs: _Runs) -> Int64[np.ndarray, "N"]:
    return np.add.reduceat(runs.zeros, runs.first, dtype=np.int64) + np.add.reduceat(
        runs.ones, runs.first, dtype=np.int64
    )


def _explain(fault: int, runs: _Runs, index: int, size: Int64[np.ndarray, "2"]) -> str:
    if fault == _ILLEGAL:
        return "has run lengths with other characters; expected the characters '0' to 'o'; encode the mask again."
    if fault == _CUT_OFF:
        return "has run lengths that end within a number; the string is cut off; encode the mask again."
    if fault == _TOO_LONG:
        return (
            f"has run lengths with a number of more than {_LONGEST_NUMBER} characters; expected runs of less than "
            "2**29 pixels; the string is damaged, encode the mask again."
        )
    height, width = size.tolist()
    return (
        f"has run lengths that cover {_sums(runs)[index]} pixels; expected non-negative runs that cover all "
        f"{height * width} of {height} x {width} (height x width); encode the mask again at the size of its image."
    )


def _is_canonical(runs: _Runs) -> Bool[np.ndarray, "N"]:
    """Say which masks have no empty run but, perhaps, the first."""
    empty = np.add.reduceat(runs.zeros == 0, runs.first, dtype=np.int64)
    empty += np.add.reduceat(runs.ones == 0, runs.first, dtype=np.int64)
    return empty - (runs.zeros[runs.first] == 0) - runs.padded == 0


def _extents(
    runs: _Runs, heights: Int64[np.ndarray, "N"]
) -> tuple[Float64[np.ndarray, "N"], Float64[np.ndarray, "N 4"]]:
    """Count the pixels of undamaged masks and box them in."""
    stop = _running_sums(runs.zeros + runs.ones, runs.first)
    num_pairs = np.diff(runs.first, append=len(stop))
    height = np.repeat(heights.astype(np.int32), num_pairs)
    left, top = np.divmod(stop - runs.ones, height)
    right, bottom = np.divmod(stop - 1, height)
    wraps = left < right  # a run over the end of a column touches both the lower and the upper border
    top[wraps] = 0
    bottom[wraps] = height[wraps] - 1
    empty = runs.ones == 0
    left[empty] = top[empty] = np.iinfo(np.int32).max
    right[empty] = bottom[empty] = -1

    area = np.add.reduceat(runs.ones, runs.first).astype(np.float64)
    x, y = np.minimum.reduceat(left, runs.first), np.minimum.reduceat(top, runs.first)
    right, bottom = np.maximum.reduceat(right, runs.first), np.maximum.reduceat(bottom, runs.first)
    boxes = np.stack([x, y, right - x + 1, bottom - y + 1], axis=1).astype(np.float64)
    boxes[area == 0] = 0
    return area, boxes
