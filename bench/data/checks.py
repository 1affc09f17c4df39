"""Objects of an annotation file, checked: every mask can be drawn, every box is its mask's, and what is odd is counted.

Polygons are measured by their corners, many at once: drawing all of COCO's training masks takes ten times as long.
Where corners do not say whether there is a pixel, or a box is missing, the mask is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec
import numpy as np
from jaxtyping import Bool, Float64
from pycocotools import mask as coco_mask

from bench import json_file
from bench.data import image_ids
from bench.data.entries import MOST_PIXELS, Annotation, Category, ImageEntry
from bench.data.findings import Finding, Ledger
from bench.data.run_lengths import Damage, measure
from bench.data.segmentation import FARTHEST, RunLengths, Segmentation, compress, normal_segmentation

_AT_ONCE = 20_000

_SMALL_AREA, _SHORT = 64.0, 4.0
"""Area and side in pixels below which corners do not say whether a polygon, which may cross itself, has a pixel."""

_APART, _OVERLAP = 2.0, 0.95
"""A box is not its mask's where a side is further off than this, in pixels, and the two have less in common."""

_Entry = Annotation[msgspec.Raw]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Objects that can be used as they are: a mask in COCO's format, a box of its own.

    `boxes_replaced` are those whose annotated box is not that of the mask, which they have instead; `annotated_boxes`
    (x, y, width, height) are what the file says, that of the mask where it says none. A model can learn from those that
    have pixels.
    """

    annotations: tuple[_Entry, ...]
    boxes_replaced: Bool[np.ndarray, "N"]
    annotated_boxes: Float64[np.ndarray, "N 4"]
    has_pixels: Bool[np.ndarray, "N"]
    findings: tuple[Finding, ...]


def check_objects(
    name: str,
    images: Sequence[ImageEntry],
    annotations: Sequence[_Entry],
    categories: Sequence[Category],
    *,
    leave_out_maskless: bool = False,
) -> Objects:
    """Check the objects of a file that messages call `name`; with `leave_out_maskless` those without a mask go.

    Objects without a pixel stay: by the rules of evaluation they are there. Raises ValueError for images or classes
    that are listed twice or not at all, images that are too large, negative areas, damaged masks and, where they are
    not to be left out, objects without a mask, naming the object by its place and its image.
    """
    sizes = _sizes(name, images)
    known = _categories(name, categories)
    if annotations and not known:
        raise ValueError(
            f"{name} has no categories, and its {len(annotations):,} annotations are of some; expected a list "
            '"categories" of {"id": ..., "name": ...}; add it, or export the data again.'
        )
    ledger = Ledger()
    maskless: list[str] = []
    parts: list[_Part] = []
    entries = enumerate(annotations)
    while batch := list(islice(entries, _AT_ONCE)):
        part = _Part(name=name, sizes=sizes)
        for index, each in batch:
            where = _check_entry(name, index, each, sizes, known)
            segmentation, word = _segmentation(name, where, each.segmentation)
            if segmentation is None:
                maskless.append(where())
                continue
            if word:
                ledger.note(f"masks_{word.replace(' ', '_')}", f"masks written as {word}, read as meant", where())
                raw = msgspec.Raw(msgspec.json.encode(segmentation))
                each = msgspec.structs.replace(each, segmentation=raw)
            part.add(index, each, segmentation)
            if each.iscrowd:
                ledger.note("crowds", "crowds, neither trained on nor given as boxes", where(), plain=True)
        part.finish(ledger)
        parts.append(part)
    if maskless:
        _leave_out(name, maskless, ledger, asked=leave_out_maskless)
    return Objects(
        annotations=tuple(each for part in parts for each in part.entries),
        boxes_replaced=np.concatenate([np.zeros(0, bool), *(part.replaced for part in parts)]),
        annotated_boxes=np.concatenate([np.zeros((0, 4)), *(part.annotated for part in parts)]),
        has_pixels=np.concatenate([np.zeros(0, bool), *(part.has_pixels for part in parts)]),
        findings=ledger.findings,
    )


class _Where:
    """Names an annotation, which few need."""

    __slots__ = ("image_id", "index")

    def __init__(self, index: int, image_id: int) -> None:
        self.index, self.image_id = index, image_id

    def __call__(self) -> str:
        return json_file.place("annotation", self.index, image_ids.original(self.image_id))


def _sizes(name: str, images: Sequence[ImageEntry]) -> dict[int, tuple[int, int]]:
    """Size (height, width) by image. Raises ValueError where an image is listed twice or is too large."""
    sizes: dict[int, tuple[int, int]] = {}
    for image in images:
        size, shown = (image.height, image.width), image_ids.original(image.id)
        if image.id in sizes:
            first = sizes[image.id]
            both = f"{first[0]} x {first[1]} and {size[0]} x {size[1]}"
            raise ValueError(
                f"{name} lists image {shown} twice (height x width {both}); expected unique ids; remove one, or number "
                "the images of each file anew before joining files."
            )
        if size[0] * size[1] >= MOST_PIXELS:
            raise ValueError(
                f"{name} says image {shown} is {size[0]} x {size[1]}; expected less than 2**29 pixels; "
                "correct the size, or cut the image into tiles."
            )
        sizes[image.id] = size
    return sizes


def _categories(name: str, categories: Sequence[Category]) -> frozenset[int]:
    known: set[int] = set()
    for category in categories:
        if category.id in known:
            raise ValueError(f"{name} lists category {category.id} twice; expected unique ids; remove or renumber one.")
        known.add(category.id)
    return frozenset(known)


def _check_entry(
    name: str, index: int, each: _Entry, sizes: Mapping[int, tuple[int, int]], categories: frozenset[int]
) -> _Where:
    where, problem = _Where(index, each.image_id), None
    if each.image_id not in sizes:
        problem = f"is on an image that the file does not list; expected one of its {len(sizes)}"
    elif each.category_id not in categories:
        problem = f"has category {each.category_id}; expected one of the {len(categories)} that the file lists"
    elif each.area is not None and each.area < 0:
        problem = f"has the area {each.area}; expected a number of pixels, at least 0"
    if problem:
        raise ValueError(f"{name}: {where()} {problem}; repair or remove it.")
    return where


_decoder: msgspec.json.Decoder[Segmentation] = msgspec.json.Decoder(Segmentation)


def _segmentation(name: str, where: _Where, raw: msgspec.Raw) -> tuple[Segmentation | None, str]:
    """A mask in COCO's format, none where there is none, and what it was read as something else for."""
    try:
        found: Segmentation = _decoder.decode(raw)
    except msgspec.MsgspecError as error:
        try:
            made, word = normal_segmentation(msgspec.json.decode(raw))
        except ValueError as reason:
            raise ValueError(f"{name}: {where()}: {reason}") from error
        return made, word
    if not isinstance(found, RunLengths) and not any(found):
        return None, ""
    return found, ""


def _leave_out(name: str, maskless: Sequence[str], ledger: Ledger, *, asked: bool) -> None:
    if not asked:
        more = f" ({len(maskless):,} objects have none)" * (len(maskless) > 1)
        raise ValueError(
            f"{name}: {maskless[0]} has no polygon and no run lengths{more}; expected a mask for every object; "
            "remove the object, draw its mask, or ask for objects without a mask to be left out."
        )
    for place in maskless:
        ledger.note("without_mask", "objects without a mask, left out as asked", place)


@dataclass
class _Part:
    """Some objects of a file, measured together."""

    name: str
    sizes: Mapping[int, tuple[int, int]]
    entries: list[_Entry] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    masks: list[Segmentation] = field(default_factory=list)
    replaced: Bool[np.ndarray, "N"] = field(default_factory=lambda: np.zeros(0, bool))
    annotated: Float64[np.ndarray, "N 4"] = field(default_factory=lambda: np.zeros((0, 4)))
    has_pixels: Bool[np.ndarray, "N"] = field(default_factory=lambda: np.zeros(0, bool))

    def add(self, index: int, entry: _Entry, segmentation: Segmentation) -> None:
        self.entries.append(entry)
        self.indices.append(index)
        self.masks.append(segmentation)
        if not isinstance(segmentation, RunLengths) and any(len(polygon) % 2 for polygon in segmentation):
            self._compressed(len(self.masks) - 1)

    def finish(self, ledger: Ledger) -> None:
        """Measure the masks, give objects their boxes and note what is odd; forget the masks."""
        number = len(self.entries)
        size = np.array([self.sizes[each.image_id] for each in self.entries], np.float64).reshape(-1, 2)
        limit = size[:, ::-1]
        corners, has_pixels = np.zeros((number, 4)), np.zeros(number, bool)
        runs = [place for place in range(number) if isinstance(self.masks[place], RunLengths)]
        drawn = [place for place in range(number) if not isinstance(self.masks[place], RunLengths)]
        if drawn:
            corners[drawn], area = self._polygons(drawn)
            low, high = corners[drawn, :2], corners[drawn, 2:]
            is_inside = (low >= 0).all(1) & (high <= limit[drawn]).all(1)
            sure = is_inside & (high - low >= _SHORT).all(1) & (area >= _SMALL_AREA)
            has_pixels[drawn] = sure
            doubtful = [place for place, is_sure in zip(drawn, sure.tolist(), strict=True) if not is_sure]
            has_pixels[doubtful] = self._drawn(doubtful)[1] > 0
        if runs:
            corners[runs], pixels = self._drawn(runs)
            has_pixels[runs] = pixels > 0
        self._give_boxes(corners, has_pixels, limit, ledger)
        self.masks.clear()

    def _polygons(self, drawn: Sequence[int]) -> tuple[Float64[np.ndarray, "K 4"], Float64[np.ndarray, "K"]]:
        """Corners (x0, y0, x1, y1) and areas of polygons, several of an object together; 0 where none encloses any."""
        rings = [
            [ring for ring in self.masks[place] if len(ring) >= 6]  # type: ignore[union-attr]  # no run lengths here
            for place in drawn
        ]
        counts = np.array([len(each) for each in rings])
        corners, area = np.zeros((len(drawn), 4)), np.zeros(len(drawn))
        lengths = np.array([len(ring) // 2 for ring in chain.from_iterable(rings)], np.int64)
        if not len(lengths):
            return corners, area
        points = np.array(list(chain.from_iterable(chain.from_iterable(rings))), np.float64).reshape(-1, 2)
        starts = np.cumsum(lengths) - lengths
        following = np.arange(1, len(points) + 1)
        following[starts + lengths - 1] = starts
        x, y = points.T
        doubled = np.abs(np.add.reduceat(x * y[following] - x[following] * y, starts))
        low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
        some = counts > 0
        first = (np.cumsum(counts) - counts)[some]
        corners[some, :2] = np.minimum.reduceat(low, first)
        corners[some, 2:] = np.maximum.reduceat(high, first)
        area[some] = np.add.reduceat(doubled, first) / 2
        for place in np.flatnonzero(np.abs(corners).max(1) > FARTHEST).tolist():
            self._compressed(drawn[place])
        return corners, area

    def _compressed(self, place: int) -> bytes:
        """Draw a mask. Raises ValueError for one that cannot be drawn, naming its object."""
        try:
            return compress(self.masks[place], *self.sizes[self.entries[place].image_id])
        except ValueError as error:
            raise ValueError(f"{self.name}: {self._place(place)}: {error}") from error

    def _drawn(self, places: Sequence[int]) -> tuple[Float64[np.ndarray, "K 4"], Float64[np.ndarray, "K"]]:
        """Corners and pixels of masks that are drawn."""
        sizes = np.array([self.sizes[self.entries[place].image_id] for place in places], np.int64).reshape(-1, 2)
        counts = [self._compressed(place) for place in places]
        found = measure(counts, sizes)
        if isinstance(found, Damage):
            raise ValueError(f"{self.name}: {self._place(places[found.index])} {found.reason}")
        boxes = found.boxes
        odd = np.flatnonzero(~found.canonical).tolist()
        if odd:
            masks = [{"size": sizes[place].tolist(), "counts": counts[place]} for place in odd]
            boxes[odd] = [coco_mask.toBbox(coco_mask.encode(coco_mask.decode(each))) for each in masks]
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), found.area

    def _give_boxes(
        self,
        corners: Float64[np.ndarray, "N 4"],
        has_pixels: Bool[np.ndarray, "N"],
        limit: Float64[np.ndarray, "N 2"],
        ledger: Ledger,
    ) -> None:
        given = np.array([each.bbox or (0.0, 0.0, 0.0, 0.0) for each in self.entries]).reshape(-1, 4)
        absent = np.array([each.bbox is None for each in self.entries], bool)
        crowd = np.array([bool(each.iscrowd) for each in self.entries], bool)
        annotated = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], axis=1)
        clipped = np.concatenate([corners[:, :2].clip(min=0), np.minimum(corners[:, 2:], limit)], axis=1)
        agrees = _same(annotated, corners) | _same(annotated, clipped)
        flat = (given[:, 2:] <= 0) & (clipped[:, 2:] - clipped[:, :2] >= 1)
        wrong = ~absent & ~crowd & has_pixels & (~agrees | flat.any(1))
        self.replaced, self.annotated, self.has_pixels = wrong, given, has_pixels
        replaced = np.flatnonzero(wrong | absent).tolist()
        if replaced:
            boxes = self._drawn(replaced)[0].tolist()
            for place, (left, top, right, bottom) in zip(replaced, boxes, strict=True):
                box = (left, top, right - left, bottom - top)
                if absent[place]:
                    given[place] = box
                self.entries[place] = msgspec.structs.replace(self.entries[place], bbox=box)
        as_corners = wrong & (_same(given, corners) | _same(given, clipped))
        hint = " (they are corners, x1 y1 x2 y2)" * (2 * int(as_corners.sum()) > int(wrong.sum()))
        for place in np.flatnonzero(wrong).tolist():
            what = f"boxes that disagree with their masks{hint}, replaced by those of the masks"
            ledger.note("boxes_disagree", what, self._place(place))
        for place in np.flatnonzero(absent).tolist():
            ledger.note("boxes_absent", "objects without a box, given that of the mask", self._place(place))
        for place in np.flatnonzero(~has_pixels).tolist():
            self._note_empty(place, ledger)

    def _note_empty(self, place: int, ledger: Ledger) -> None:
        entry = self.entries[place]
        mask = self.masks[place]
        box = entry.bbox or (0.0, 0.0, 0.0, 0.0)
        if not isinstance(mask, RunLengths) and any(len(ring) == 4 for ring in mask):
            what = "objects without a pixel (four numbers are a line where a polygon belongs, not a box)"
            ledger.note("without_pixel", what, self._place(place))
        elif max(entry.area or 0.0, box[2] * box[3]) >= 1:
            what = "objects without a pixel although their area or box says otherwise"
            ledger.note("without_pixel", what, self._place(place))
        else:
            ledger.note("without_pixel_small", "objects too small for a pixel", self._place(place), plain=True)

    def _place(self, place: int) -> str:
        return _Where(self.indices[place], self.entries[place].image_id)()


def _same(boxes: Float64[np.ndarray, "N 4"], others: Float64[np.ndarray, "N 4"]) -> Bool[np.ndarray, "N"]:
    """Whether boxes (x0, y0, x1, y1) are close enough to be of the same mask."""
    close = (np.abs(boxes - others) <= _APART).all(1)
    shared = (np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])).clip(min=0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1) - shared
    return close | (shared >= _OVERLAP * union) & (union > 0)
