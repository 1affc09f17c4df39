"""Pictures of the masks that a head draws of a few objects on true boxes, with their IoU: what the report shows.

The objects are the same for every head: `_chosen` takes them from the annotations.
"""

import io
import itertools
from dataclasses import replace

import msgspec
import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from pycocotools import mask as coco_mask

from bench.accuracy import cocofy
from bench.accuracy.boundary import band, band_width
from bench.accuracy.ground_truth import GroundTruth, read_ground_truth
from bench.accuracy.protocol import PRESETS
from bench.accuracy.run_lengths import runs_of_ones
from bench.build import load
from bench.images import read_image
from bench.model import Boxes
from bench.plan import Context, Measurement
from bench.probes._chosen import NUM_OBJECTS, SMALLEST, Chosen, choose
from bench.probes._images import coco_annotations, images_protocol, open_run, with_true_boxes
from bench.probes._predict import model_protocol
from bench.record import Scalar, Subject
from heads._assemble import Crop, encode_crop

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True

MARGIN = 0.1
"""What a picture shows beside the object's box, as a part of the box's longer side."""

DILATION_RATIO = PRESETS["apb-star"].dilation_ratio

_LARGEST_IMAGE_BYTES = 20_000
_NUM_COLOURS = 128


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `objects.json`: what object `number` is. `window` is the part shown, xyxy in original pixels."""

    number: int
    image_id: int
    category: str
    window: tuple[int, int, int, int]


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the masks depend on, and how the objects are chosen."""
    return {
        **images_protocol(with_true_boxes(context)),
        **model_protocol(subject, context),
        "lvis_version": None if context.lvis is None else cocofy.version(context.lvis),
        "objects": NUM_OBJECTS,
        "smallest": SMALLEST,
        "dilation_ratio": DILATION_RATIO,
    }


@torch.inference_mode()
def measure(subject: Subject, context: Context) -> Measurement:
    """Draw object k as `object<k>-mask.png`, beside `-image.png` and `-truth.png`, and compare mask and truth.

    All boxes of an image are given, because a head may divide its cells among them. Masks are those of the finest
    annotations given. An object whose image cannot be read has neither pictures nor values.
    """
    context = with_true_boxes(context)
    run = open_run(subject, context)
    chosen = {each.image_id: (number, each) for number, each in enumerate(choose(_finest_truth(context), run.files))}
    only = replace(run.files, ids=tuple(sorted(chosen)))
    run = replace(run, dataset=replace(run.dataset, files=only))
    model = load(subject, context, run.files.category_ids)
    values: dict[str, int | float] = {}
    files: dict[str, bytes] = {}
    notes = []
    for batch in run:
        given = run.given(batch)
        assert given is not None
        (image_id,), (size,), (input_size,) = batch.image_ids, batch.original_sizes, batch.input_sizes
        number, thing = chosen[image_id]
        (predictions,) = model.predict(batch, given)
        # Every true box is a region of its own, so that crops and boxes have the same order.
        crop = predictions.crops[_place(thing, given[0], size, input_size, run.files.category_ids)]
        iou, boundary_iou = _compare(thing, crop)
        values |= {f"iou_{number}": iou, f"boundary_iou_{number}": boundary_iou}
        window = _window(thing)
        image = read_image(run.files.paths[image_id], size)
        files |= {
            f"object{number}-image.png": _small_png(image.crop(window)),
            f"object{number}-truth.png": _mask_png(thing.mask, window),
            f"object{number}-mask.png": _mask_png(_full(crop, size), window),
        }
        notes.append(Note(number=number, image_id=image_id, category=thing.name, window=window))
    notes.sort(key=lambda note: note.number)
    return Measurement(
        values={**values, **run.values()},
        units={**dict.fromkeys(values, ""), **dict.fromkeys(run.values(), "images")},
        files={**files, "objects.json": msgspec.json.encode(notes), **run.report()},
    )


def _finest_truth(context: Context) -> GroundTruth:
    """LVIS's annotations where they are given, otherwise COCO's."""
    if context.lvis is not None:
        return cocofy.read_cocofied(context.lvis)
    return read_ground_truth(coco_annotations(context))


def _place(
    thing: Chosen, given: Boxes, size: tuple[int, int], input_size: tuple[int, int], category_ids: tuple[int, ...]
) -> int:
    """Where the box of an object is among those given."""
    scale = np.array([input_size[1] / size[1], input_size[0] / size[0]] * 2)
    wanted = given.boxes.new_tensor(thing.given * scale)
    distance = (given.boxes - wanted).abs().amax(dim=1)
    is_other = given.labels != category_ids.index(thing.category_id)
    return int(distance.masked_fill(is_other, torch.inf).argmin())


def _compare(thing: Chosen, crop: Crop) -> tuple[float, float]:
    """IoU of mask and truth, and of the bands along their outlines (boundary IoU)."""
    height, width = thing.mask.shape
    counts = encode_crop(crop, (height, width))["counts"].encode()
    masks = [{"size": [height, width], "counts": each} for each in (counts, thing.counts)]
    iou = coco_mask.iou(masks[:1], masks[1:], [0])[0, 0]
    distance = band_width(height, width, DILATION_RATIO)
    ours, theirs = (band(runs, height, width, distance) for runs in runs_of_ones([counts, thing.counts]))
    shared = ours.shared(theirs, height)
    return float(iou), shared / (ours.bits.bit_count() + theirs.bits.bit_count() - shared)


def _window(thing: Chosen) -> tuple[int, int, int, int]:
    """The part of the image to show, xyxy: the object's box with a margin, within the image."""
    height, width = thing.mask.shape
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


def _mask_png(mask: Bool[np.ndarray, "H W"], window: tuple[int, int, int, int]) -> bytes:
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
