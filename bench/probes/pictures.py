"""How well a head draws every large object on true boxes, with pictures of the worst and best: what the report shows.

Which objects are shown is for the report to say, which knows how all heads draw them. So every head keeps its mask of
every object, packed to some hundred bytes, and the image and the truth of the objects that it draws worst and best.
"""

import io
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from pycocotools import mask as coco_mask

from bench.accuracy.boundary import band, band_width
from bench.accuracy.protocol import PRESETS
from bench.contract import Context, Measurement
from bench.data import cocofy
from bench.data.coco import CocoImages
from bench.data.ground_truth import GroundTruth
from bench.data.image_ids import Id, original
from bench.data.images import read_image
from bench.data.run_lengths import runs_of_ones
from bench.inference.detected import detected
from bench.inference.image_run import check_readable, coco_truth, images_protocol, open_run, with_true_boxes
from bench.inference.predict import model_protocol
from bench.inference.showable import SMALLEST, Candidate, Drawn, candidates, extremes, is_one_piece, mask_of, no_objects
from bench.model.assemble import Crop, encode_crop
from bench.model.build import load
from bench.model.segmenter import DetectorOutput
from bench.record import Scalar, Subject, Value, rows
from bench.store import Array

VERSION = 2
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True

NUM_SHOWN = 10
"""So many of the worst objects, and of the best, come with image and truth; heads do not agree which these are."""

MARGIN = 0.1
"""What a picture shows beside the object's box, as a part of the box's longer side."""

DILATION_RATIO = PRESETS["apb-star"].dilation_ratio

_QUANTILES = {"p10": 0.1, "median": 0.5, "p90": 0.9}
_LARGEST_IMAGE_BYTES = 20_000
_NUM_COLOURS = 128

_Window = tuple[int, int, int, int]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `objects.json`: what object `row` is. `window` is the part shown, xyxy in original pixels."""

    row: int
    image_id: Id
    category: str
    window: _Window


@dataclass(frozen=True, kw_only=True)
class _HeadMask(Drawn):
    """An object as a head drew it: `packed` are the bits of its mask within the window, compressed."""

    iou: float
    window: _Window
    packed: bytes


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the masks depend on, and which objects count."""
    return {
        **images_protocol(with_true_boxes(context)),
        **model_protocol(subject, context),
        "lvis_version": None if context.lvis is None else cocofy.version(context.lvis),
        "objects": f"all in one piece, at least {SMALLEST} x {SMALLEST} pixels",
        "shown": f"{NUM_SHOWN} worst and {NUM_SHOWN} best by boundary IoU",
        "dilation_ratio": DILATION_RATIO,
    }


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Draw every object that pictures can show, compare mask and truth, and keep pictures of the extremes.

    Objects are known by their row in the annotation file. All boxes of an image are given, because a head may divide
    its cells among them. Masks are those of the finest annotations given. An image that cannot be read has no objects.
    """
    context = with_true_boxes(context)
    run = open_run(subject, context)
    truth, files = _finest_truth(context), run.files
    of_image = candidates(truth, files)
    model = load(subject, context, files.category_ids)
    results: list[_HeadMask] = []
    # All images, also those without a candidate: they are what the accuracy on true boxes has looked at.
    for image_id, output in detected(model, subject, context, run):
        things = [thing for thing in of_image.get(image_id, ()) if is_one_piece(mask_of(truth, thing.row))]
        if things:
            (predictions,) = model.masks(output)
            crops = [predictions.crops[_place(thing, output, files.category_ids)] for thing in things]
            results += [_compared(thing, truth, crop) for thing, crop in zip(things, crops, strict=True)]
    check_readable(len(run.dataset), run.skipped)
    if not results:
        raise no_objects(truth, files)
    return Measurement(
        values=(*_values(results), *run.rows()),
        samples=_samples(results),
        files={**_pictures(results, truth, files), **run.report()},
    )


def _values(results: Sequence[_HeadMask]) -> Iterator[Value]:
    boundary_ious = [each.boundary_iou for each in results]
    yield Value(name="objects", value=len(results), unit="objects")
    yield Value(name="iou_mean", value=float(np.mean([each.iou for each in results])))
    yield Value(name="boundary_iou_mean", value=float(np.mean(boundary_ious)))
    yield from rows({f"boundary_iou_{name}": float(np.quantile(boundary_ious, at)) for name, at in _QUANTILES.items()})


def _samples(results: Sequence[_HeadMask]) -> dict[str, Array]:
    """Every object's row, IoUs, window and mask; `mask_ends` says where each mask ends in `masks`."""
    return {
        "rows": np.array([each.row for each in results], np.int64),
        "image_ids": np.array([each.image_id for each in results], np.int64),
        "ious": np.array([each.iou for each in results]),
        "boundary_ious": np.array([each.boundary_iou for each in results]),
        "windows": np.array([each.window for each in results], np.int32),
        "masks": np.frombuffer(b"".join(each.packed for each in results), np.uint8),
        "mask_ends": np.cumsum([len(each.packed) for each in results], dtype=np.int64),
    }


def _pictures(results: Sequence[_HeadMask], truth: GroundTruth, files: CocoImages) -> dict[str, bytes]:
    """`object<row>-image.png` and `-truth.png` of the extremes, and `objects.json`, which lists them."""
    by_row = {each.row: each for each in results}
    names = dict(zip(truth.category_ids.tolist(), truth.category_names, strict=True))
    notes, made = [], {}
    for row in extremes(results, NUM_SHOWN):
        shown = by_row[row]
        image = read_image(files.paths[shown.image_id], files.sizes[shown.image_id], files.rule)
        made[f"object{row}-image.png"] = _small_png(image.crop(shown.window))
        made[f"object{row}-truth.png"] = _mask_png(mask_of(truth, row), shown.window)
        category = names[shown.category_id]
        notes.append(Note(row=row, image_id=original(shown.image_id), category=category, window=shown.window))
    return {**made, "objects.json": msgspec.json.encode(notes)}


def _finest_truth(context: Context) -> GroundTruth:
    """LVIS's annotations where they are given, otherwise COCO's."""
    if context.lvis is not None:
        return cocofy.read_cocofied(context.lvis)
    return coco_truth(context)


def _place(thing: Candidate, output: DetectorOutput, category_ids: tuple[int, ...]) -> int:
    """Which region is that of an object: every true box is one of its own."""
    (size,), (input_size,) = output.original_sizes, output.input_sizes
    scale = np.array([input_size[1] / size[1], input_size[0] / size[0]] * 2)
    boxes, labels = output.detections.boxes, output.detections.labels
    distance = (boxes - boxes.new_tensor(thing.given * scale)).abs().amax(dim=1)
    is_other = labels != category_ids.index(thing.category_id)
    return int(distance.masked_fill(is_other, torch.inf).argmin())


def _compared(thing: Candidate, truth: GroundTruth, crop: Crop) -> _HeadMask:
    """IoU of mask and truth, and of the bands along their outlines (boundary IoU)."""
    height, width = size = _size(truth, thing.row)
    counts, expected = encode_crop(crop, size)["counts"].encode(), truth.counts[thing.row]
    masks = [{"size": [height, width], "counts": each} for each in (counts, expected)]
    iou = coco_mask.iou(masks[:1], masks[1:], [0])[0, 0]
    distance = band_width(height, width, DILATION_RATIO)
    ours, theirs = (band(runs, height, width, distance) for runs in runs_of_ones([counts, expected]))
    shared = ours.shared(theirs, height)
    window = _window(thing, size)
    left, top, right, bottom = window
    return _HeadMask(
        row=thing.row,
        image_id=thing.image_id,
        category_id=thing.category_id,
        iou=float(iou),
        boundary_iou=shared / (ours.bits.bit_count() + theirs.bits.bit_count() - shared),
        window=window,
        packed=zlib.compress(np.packbits(_full(crop, size)[top:bottom, left:right]).tobytes()),
    )


def _size(truth: GroundTruth, row: int) -> tuple[int, int]:
    height, width = truth.sizes[truth.image[row]].tolist()
    return height, width


def _window(thing: Candidate, size: tuple[int, int]) -> _Window:
    """The part of the image to show, xyxy: the object's box with a margin, within the image."""
    height, width = size
    left, top, right, bottom = thing.box.tolist()
    margin = MARGIN * max(right - left, bottom - top)
    return (
        max(0, int(left - margin)),
        max(0, int(top - margin)),
        min(width, int(np.ceil(right + margin))),
        min(height, int(np.ceil(bottom + margin))),
    )


def _full(crop: Crop, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    mask = np.zeros(size, bool)
    drawn = crop.mask.cpu().numpy()
    mask[crop.top : crop.top + drawn.shape[0], crop.left : crop.left + drawn.shape[1]] = drawn
    return mask


def _mask_png(mask: Bool[np.ndarray, "H W"], window: _Window) -> bytes:
    left, top, right, bottom = window
    return _png(Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255))


def _small_png(image: Image.Image) -> bytes:
    """An image with few colours, and smaller where it would still be a large file: every head keeps its own copy."""
    contents = (
        _png(image.reduce(factor).quantize(_NUM_COLOURS, dither=Image.Dither.NONE)) for factor in itertools.count(1)
    )
    return next(content for content in contents if len(content) <= _LARGEST_IMAGE_BYTES)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
