"""What a model finds on the images of a run, each rank of torchrun on its share of them."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from bench.contract import Context
from bench.data.findings import Finding, data_rows
from bench.data.image_ids import original
from bench.data.samples import Skipped
from bench.inference.detected import detected
from bench.inference.image_run import ImageRun, check_readable, data_report, finishing_protocol, input_protocol
from bench.memory import HeapTrimmer
from bench.model.build import initial_weights, load
from bench.model.segmenter import CocoResult, coco_results
from bench.record import Scalar, Subject, Value, rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Found:
    """COCO results by image id, an empty list where nothing was found; the images that could not be read.

    `findings` are those of the data.
    """

    results: Mapping[int, list[CocoResult]]
    skipped: tuple[Skipped, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def content(self) -> bytes:
        """A COCO results file, valid without a single prediction."""
        return msgspec.json.encode([result for of_image in self.results.values() for result in of_image])

    @property
    def image_ids(self) -> bytes:
        """The images of the run as a JSON list of ids: what `evaluate --images` needs to know."""
        return msgspec.json.encode([original(image_id) for image_id in self.results])

    def rows(self) -> Iterator[Value]:
        """How many images were read or skipped, on how many nothing was found, and how many predictions there are."""
        num_predictions = [len(of_image) for of_image in self.results.values()]
        images = {
            "images": len(self.results),
            "images_skipped": len(self.skipped),
            "images_empty": num_predictions.count(0),
        }
        yield from rows(images, "images")
        yield from data_rows(self.findings)
        yield Value(name="predictions", value=sum(num_predictions), unit="predictions")

    def report(self) -> dict[str, bytes]:
        """Files that say which images were skipped, and what of the data was repaired or left out."""
        return data_report(self.skipped, self.findings)


def model_protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Say what predictions depend on beside the images."""
    initial = initial_weights(subject, context)
    return {
        "batch": 1,
        "dtype": context.dtype,
        "initial": initial,
        **input_protocol(subject, context),
        **finishing_protocol(context),
    }


def predict(subject: Subject, context: Context, run: ImageRun) -> Found:
    """Predict the images of this rank."""
    model, share = load(subject, context, run.files.category_ids), run.shard()
    results: dict[int, list[CocoResult]] = {}
    trim = HeapTrimmer()
    for image_id, output in detected(model, subject, context, share):
        results[image_id] = list(coco_results([image_id], model.masks(output), run.files.category_ids))
        trim()
    return Found(results=results, skipped=tuple(share.skipped), findings=run.files.findings)


def join(shares: Iterable[Found], subject: Subject) -> Found:
    """Put the shares of all ranks together, as one rank would have found it. Raises ValueError without any image."""
    parts = list(shares)
    results = {image_id: of_image for part in parts for image_id, of_image in part.results.items()}
    skipped = sorted((skip for part in parts for skip in part.skipped), key=lambda skip: skip.image_id)
    check_readable(len(results) + len(skipped), skipped)
    if not any(results.values()):
        log.warning("Nothing was found in any image of %s: its results file is an empty list.", subject.name)
    return Found(results=dict(sorted(results.items())), skipped=tuple(skipped), findings=parts[0].findings)
