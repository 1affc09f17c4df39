"""`predict`: look at what a model finds in pictures of one's own."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from bench.cli.data_options import DataOptions
from bench.cli.output import COMPLETE, INCOMPLETE, check_folder, tell
from bench.cli.run import check_device
from bench.planning.own_data import SHIPPED
from bench.planning.session import MIN_SCORE

if TYPE_CHECKING:
    from PIL import Image

    from bench.data.given_pictures import GivenPicture, GivenPictures
    from bench.inference.given_boxes import BoxesFile, PictureBoxes
    from bench.inference.prediction import Prediction
    from bench.inference.prediction_folder import PredictionFolder
    from bench.inference.predictor import Predictor

_MOST_CLASSES = 3
"""Classes that the line of a picture names."""


@dataclass(frozen=True, kw_only=True)
class Predict(DataOptions):
    """Draw what a model finds in pictures: an overlay of each, and all results in one file of COCO's format."""

    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="IMAGE|DIR|GLOB")] = ()
    """Picture files, folders (searched to the bottom) and patterns in quotes ('photos/**/*.jpg'); or --data DIR."""
    head: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: effseg, or that of the file)")] = None
    """Which head."""
    weights: Annotated[Path, arg(metavar="PATH", help_behavior_hint="(default: the shipped ones)")] = SHIPPED
    """Weights of `train`: a file, or a folder with a file for every head."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("predictions")
    """Where overlays, predictions.json, images.json (ids) and pictures.json (sizes, classes) go."""
    boxes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")] = None
    """Boxes to use instead of the detector's: annotations or detections in COCO's format."""
    min_score: Annotated[float, arg(metavar="SCORE")] = MIN_SCORE
    """Least score of objects on the overlays; predictions.json has all."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""

    def __call__(self) -> int:
        """Predict every picture, saying what was found in each; one that cannot be read is skipped and counted."""
        from bench.inference.class_names import class_names
        from bench.inference.given_boxes import read_boxes
        from bench.inference.prediction_folder import PredictionFolder
        from bench.inference.predictor import predictor

        if not 0 <= self.min_score <= 1:
            raise ValueError(f"--min-score is {self.min_score}. It must be from 0 to 1. Give such a number.")
        check_folder("--out", self.out)
        check_device(self.device)
        named = self._named_pictures()
        boxes = None if self.boxes is None else read_boxes(self.boxes, named.pictures)
        model = predictor(self.weights, head=self.head, device=self.device)
        if boxes is not None:
            for each in boxes.of.values():
                model.check_classes(each.boxes)
        categories = list(zip(model.task.category_ids, class_names(model.task), strict=True))
        folder = PredictionFolder.of(self.out, named.pictures, categories, others=[*model.files, *self._files()])
        self._tell_model(model.files[-1], boxes)
        for fault in named.unreadable:
            tell(fault, mark="skipped")
        return self._predict(named, boxes, model, folder)

    def _files(self) -> list[Path]:
        """The files that are read beside pictures and weights."""
        data = self.data_set()
        of_data = [] if data is None else [data.train.annotations, data.val.annotations]
        return [path for path in (self.boxes, *of_data) if path is not None]

    def _named_pictures(self) -> "GivenPictures":
        """The pictures named, or a data set's for validation. Raises ValueError for both, and for neither."""
        from bench.data.coco import open_images
        from bench.data.given_pictures import named_pictures, of_data_set

        data = self.data_set()
        if data is None:
            return named_pictures(self.pictures, without=self.out)
        if self.pictures:
            raise ValueError(
                f"Both {self.pictures[0]} and a data set are named. Pictures are files and folders, or those of the "
                "validation part of a data set. Leave one out."
            )
        return of_data_set(open_images(data.val, parts=(data.train, data.val)))

    def _predict(
        self,
        named: "GivenPictures",
        boxes: "BoxesFile | None",
        model: "Predictor",
        folder: "PredictionFolder",
    ) -> int:
        """Predict one picture after the other; Ctrl-C keeps what there is."""
        from bench.data.images import Unreadable
        from bench.memory import HeapTrimmer

        begin, trim = time.monotonic(), HeapTrimmer()
        done, objects, skipped, stopped = 0, 0, len(named.unreadable), False
        try:
            for picture in named.pictures:
                start = time.monotonic()
                given = None if boxes is None else boxes.of.get(picture.name)
                try:
                    found = model(_read(picture, given, boxes), boxes=given.boxes if given else None)
                except Unreadable as error:
                    tell(f"{picture.name}: {error}", mark="skipped")
                    skipped += 1
                    continue
                shown = found.above(self.min_score)
                folder.add(picture, found, shown)
                print(f"{picture.name}  {_described(shown)}  {time.monotonic() - start:.2f} s", flush=True)
                done, objects = done + 1, objects + len(shown)
                trim()
        except KeyboardInterrupt:
            stopped = True
        finally:
            folder.finish()
        tell(
            f"{'Stopped: ' * stopped}{done} of {len(named.pictures)} pictures in {time.monotonic() - begin:.1f} s, "
            f"{objects} objects of a score of {self.min_score:g} or more, {skipped} skipped"
        )
        tell(f"Overlays, and the results of all scores (predictions.json), are in {self.out}.")
        return INCOMPLETE if stopped or skipped else COMPLETE

    def _tell_model(self, file: Path, boxes: "BoxesFile | None") -> None:
        """Say which weights are used, what they know, and which boxes are not."""
        tell(f"Weights: {file}")
        if self.weights == SHIPPED:
            tell(
                "They come with the project and know its twenty pictographs alone: on photographs, classes mean "
                "nothing. Train your own: run_bench.py train."
            )
        if boxes is not None and boxes.elsewhere:
            tell(f"{boxes.elsewhere:,} boxes of {self.boxes} are of other pictures")
        if boxes is not None and boxes.without_area:
            tell(f"{boxes.without_area:,} boxes of {self.boxes} have no area and are left out")


def _read(picture: "GivenPicture", given: "PictureBoxes | None", boxes: "BoxesFile | None") -> "Image.Image":
    """Read a picture in the orientation that its boxes are in. Raises Unreadable also where a file lacks it."""
    from bench.data.images import Unreadable, read_any, read_image

    if boxes is not None and given is None:
        raise Unreadable("it is not in the file of boxes")
    size = picture.size if given is None or given.size is None else given.size
    return read_any(picture.path) if size is None else read_image(picture.path, size, picture.rule)


def _described(shown: "Prediction") -> str:
    """Size, number of objects, and the most frequent classes."""
    height, width = shown.size
    counts = shown.counts()
    names = ", ".join(f"{count} {name}" for name, count in list(counts.items())[:_MOST_CLASSES])
    more = ", ..." * (len(counts) > _MOST_CLASSES)
    return f"{width} x {height}  {len(shown)} objects{': ' * bool(names)}{names}{more}"
