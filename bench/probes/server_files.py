"""Predictions on COCO test-dev as the zip file that the evaluation server takes: its annotations are not public.

The server gives AP_test. It expects `detections_test-dev2017_NAME_results.zip` with one JSON file of the same name.
"""

import io
import zipfile
from pathlib import Path

from bench import ranks
from bench.contract import Context, Measurement
from bench.data.annotations import read_annotations
from bench.data.coco import CocoImages, open_images
from bench.data.layout import Part
from bench.inference.image_run import detections_protocol, num_images_protocol, run_of
from bench.inference.predict import join, model_protocol, predict
from bench.record import Scalar, Subject

VERSION = 1
TIMED = False
NEEDS_IMAGES = True
NEEDS_WEIGHTS = True
OWN_FILES = True
SHARED = True

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first date that a zip file can hold: the same predictions are the same bytes whenever they are written."""


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what the masks depend on. `images` other than "all" are no complete submission."""
    listing = _listing(context)
    return {
        "images": num_images_protocol(context),
        "annotations": read_annotations(listing).checksum if listing.is_file() else None,
        "detections": detections_protocol(context),
        **model_protocol(subject, context),
    }


def measure(subject: Subject, context: Context) -> Measurement:
    """Predict every image of test-dev. Raises ValueError where its files are missing, or its boxes are asked for."""
    if context.detections == "ground_truth":
        raise ValueError(
            "There are no ground-truth boxes of test-dev. They are not public. "
            "Use the boxes of the detector, or those of a file, as `detections`."
        )
    run = run_of(_images(context), subject, context)
    shares = ranks.gather(predict(subject, context, run))
    found = join(shares, subject)
    stem = f"detections_test-dev2017_{subject.name}_results"
    return Measurement(
        values=tuple(found.rows()),
        files={f"{stem}.zip": zipped(f"{stem}.json", found.content), **found.report()},
    )


def zipped(name: str, content: bytes) -> bytes:
    """One file as a zip file whose bytes depend on nothing but name and content."""
    entry = zipfile.ZipInfo(name, date_time=_EARLIEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # otherwise the computer's
    entry.external_attr = 0o644 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, content)
    return buffer.getvalue()


def _listing(context: Context) -> Path:
    assert context.data is not None, "a probe that needs images was run without"
    return context.data.root / "annotations" / "image_info_test-dev2017.json"


def _images(context: Context) -> CocoImages:
    """The images of test-dev: a part of those of test2017, which the listing names."""
    listing = _listing(context)
    assert context.data is not None
    if not listing.is_file():
        raise ValueError(
            f"There is no {listing}, which lists the images of test-dev. Expected "
            f"{context.data.root}/test2017/*.jpg and this file. Download '2017 Test images' and "
            "'2017 Testing Image info' from cocodataset.org."
        )
    # Like an LVIS file to val2017, it is a list of images without any of COCO's objects.
    part = Part(pictures=context.data.root / "test2017", annotations=listing.with_name("instances_test2017.json"))
    return open_images(part, lvis=listing, num_images=context.images)
