"""A model with its weights, loaded once, that takes pictures as they are: files, Pillow images or arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from PIL import Image

from bench import catalog, json_file
from bench.contract import Context
from bench.data.augment import Picture
from bench.data.images import as_rgb, read_any
from bench.data.samples import Batch, collate, draws, sample_of
from bench.inference.class_names import class_names
from bench.inference.given_boxes import GivenBoxes
from bench.inference.image_run import test_transform
from bench.inference.mask_crop import MaskCrop
from bench.inference.prediction import Prediction
from bench.model import weights_folder
from bench.model.assemble import ImagePredictions
from bench.model.boxes_file import is_far
from bench.model.build import load_files
from bench.model.segmenter import Boxes, DetectorOutput, Segmenter
from bench.model.task import Task
from bench.model.weights import task_of

Given = Path | str | Image.Image | NDArray[np.generic]
"""A picture: its file, a Pillow image, or an array [H W 3] of uint8 in RGB."""

DEFAULT_HEAD = "effseg"

_NUM_KEPT = 2
"""Models that stay in memory, so that two heads can be compared picture by picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """Predicts the masks of pictures, one after the other. `files` are those of the weights."""

    model: Segmenter
    task: Task
    device: str = "cpu"
    files: tuple[Path, ...] = ()

    def __call__(self, image: Given, *, boxes: GivenBoxes | None = None, min_score: int | float = 0) -> Prediction:
        """Find the objects of a picture, or the masks in given boxes, and keep those of at least `min_score`.

        A file is turned as every viewer shows it (EXIF); a Pillow image or an array is taken as it is. Boxes beyond
        the number of the detector's queries are taken in turns. Raises Unreadable for a picture that cannot be read,
        ValueError for an array of another kind, classes that the model does not have and boxes far outside.
        """
        read = opened(image)
        batch = self._batch(read)
        if boxes is None:
            parts = [self._predict(self.model.detect(batch))]
        else:
            most = self.model.detector.max_given
            parts = [self._predict_in(batch, part) for part in boxes.parts(most)]
        found = self._prediction(read, parts)
        return found.above(min_score)

    def _batch(self, image: Image.Image) -> Batch:
        height, width = image.height, image.width
        picture = Picture.of(
            image,
            torch.zeros(0, 4),
            torch.zeros(0, height, width, dtype=torch.uint8),
            torch.zeros(0, dtype=torch.int64),
        )
        resized = test_transform(self.task.subject, self.task)(picture, draws(0, 0, 0))
        return collate([sample_of(resized, 0, (height, width))]).to(self.device)

    def _predict(self, output: DetectorOutput) -> tuple[ImagePredictions, NDArray[np.float32]]:
        """Predictions of a picture, and the box of each in its pixels."""
        (predictions,) = self.model.masks(output)
        (input_size,), (size,) = output.input_sizes, output.original_sizes
        boxes = self.model.regions(output.detections).boxes.float()
        scale = boxes.new_tensor([size[1] / input_size[1], size[0] / input_size[0]] * 2)
        return predictions, (boxes * scale)[predictions.mask_index].cpu().numpy()

    def _predict_in(self, batch: Batch, given: GivenBoxes) -> tuple[ImagePredictions, NDArray[np.float32]]:
        (input_size,), (size,) = batch.input_sizes, batch.original_sizes
        for box in given.boxes.tolist():
            if is_far(box, size):
                raise ValueError(
                    f"A box is {box}; expected left, top, right, bottom in pixels of the picture, which is "
                    f"{size[0]} x {size[1]} (height x width); correct or remove it."
                )
        scale = np.array([input_size[1] / size[1], input_size[0] / size[0]] * 2)
        number = len(given.boxes)
        boxes = Boxes(
            boxes=torch.from_numpy(given.boxes * scale).float(),
            labels=torch.from_numpy(self._labels(given)),
            scores=torch.from_numpy(np.ones(number) if given.scores is None else given.scores).float(),
        ).to(self.device)
        output = self.model.detect(batch, [boxes])
        if given.class_ids is None:
            output = self._classified(output, keep_scores=given.scores is not None)
        return self._predict(output)

    def check_classes(self, given: GivenBoxes) -> None:
        """Raise ValueError for boxes of classes that the model does not have."""
        if given.class_ids is None:
            return
        known = self.task.category_ids
        unknown = sorted(set(given.class_ids.tolist()) - set(known))
        if unknown:
            raise ValueError(
                f"There are boxes of the class {unknown[0]}; expected those of the weights, "
                f"{', '.join(map(str, known[:8]))}{', ...' * (len(known) > 8)}; give boxes of the same classes, or "
                "leave the classes out (category_id), and the detector says them."
            )

    def _labels(self, given: GivenBoxes) -> Int64[np.ndarray, "D"]:
        self.check_classes(given)
        if given.class_ids is None:
            return np.zeros(len(given.boxes), np.int64)
        label = {category: place for place, category in enumerate(self.task.category_ids)}
        return np.array([label[each] for each in given.class_ids.tolist()], np.int64)

    @torch.inference_mode()
    def _classified(self, output: DetectorOutput, *, keep_scores: bool) -> DetectorOutput:
        """Give every region the class that its query has, and the score unless it was given."""
        found = output.detections
        score, label = self.model.detector.class_scores(found.queries).max(dim=1)
        scores = found.scores if keep_scores else score[found.region]
        return replace(output, detections=replace(found, labels=label[found.region], scores=scores))

    def _prediction(
        self, image: Image.Image, parts: Sequence[tuple[ImagePredictions, NDArray[np.float32]]]
    ) -> Prediction:
        """Put parts together, the highest score first."""
        crops: list[MaskCrop] = []
        for predictions, _ in parts:
            index = predictions.mask_index.tolist()
            made = {each: MaskCrop.of(predictions.crops[each]) for each in set(index)}
            crops += [made[each] for each in index]
        labels = torch.cat([predictions.labels for predictions, _ in parts]).cpu().numpy()
        names = class_names(self.task)
        found = Prediction(
            image=np.array(image),
            crops=tuple(crops),
            boxes=np.concatenate([boxes for _, boxes in parts]),
            class_ids=np.array(self.task.category_ids, np.int64)[labels],
            class_names=tuple(names[label] for label in labels.tolist()),
            scores=torch.cat([predictions.scores.float() for predictions, _ in parts]).cpu().numpy(),
        )
        return found.chosen(np.argsort(-found.scores, kind="stable").tolist())


def opened(image: Given) -> Image.Image:
    """A picture as RGB. Raises Unreadable where it cannot be read, ValueError for an array of another kind."""
    if isinstance(image, Path | str):
        return read_any(Path(image))
    if isinstance(image, Image.Image):
        return as_rgb(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"The array of a picture has the shape {image.shape} and the type {image.dtype}; expected height x width "
            "x 3 of uint8 in RGB; convert it, or give the file."
        )
    return Image.fromarray(np.ascontiguousarray(image))


_loaded: dict[tuple[str, tuple[json_file.State, ...]], Predictor] = {}


def predictor(weights: Path, *, head: str | None = None, device: str = "cpu") -> Predictor:
    """The model of a file of weights or of a head in a folder of them; loaded again only where a file has changed.

    Without `head`, it is that of the file, or EffSeg's in a folder. The last two are kept. Raises ValueError for an
    unknown head and for weights that are not there or do not fit.
    """
    files = trained_files(weights, head)
    key = device, tuple(json_file.state(path) for path in files)
    if key not in _loaded:
        _loaded[key] = _load(files, device)
        while len(_loaded) > _NUM_KEPT:
            del _loaded[next(iter(_loaded))]
    return _loaded[key]


def trained_files(weights: Path, head: str | None) -> tuple[Path, ...]:
    """The files of a model: a whole one, or the detector and the head. Raises ValueError as `predictor`.

    Where a folder has several of one head, the one with the module `sfm` comes first, then that of the lowest name,
    which is that of the lowest seed.
    """
    if head is not None:
        catalog.check("head", head, catalog.plugins("heads"))
    if weights.is_dir():
        wanted = head or DEFAULT_HEAD
        heads = sorted(path for path in weights.glob("*-*.safetensors") if path.is_file())
        own = [path for path in heads if path.name.startswith(f"{wanted}-")]
        if not own:
            offered = ", ".join(sorted({path.name.partition("-")[0] for path in heads})) or "no head"
            raise ValueError(
                f"The folder {weights} has no weights of the head {wanted}: it has {offered}. Expected a file "
                f"{wanted}-*.safetensors. Name another head or folder, or train it: run_bench.py train."
            )
        file = min(own, key=lambda path: ("-sfm-" not in path.name, "_agnostic-" in path.name, path.name))
    else:
        file = weights
        if not file.is_file():
            raise ValueError(
                f"There are no weights {file}. Weights are a file, or a folder with a file for every head. Check the "
                "path, or train them: run_bench.py train."
            )
    return _complete(file, head)


def _complete(file: Path, head: str | None) -> tuple[Path, ...]:
    """Add the detector that lies beside a head."""
    task = task_of([file])
    if task is None:
        raise ValueError(
            f"{file} does not say what it was trained for; expected weights that carry their task; give a file that "
            "was made by run_bench.py train."
        )
    found = task.subject.head or ""
    if head is not None and found != head:
        raise ValueError(f"{file} holds weights of {found}; expected the head {head}; name the head that it holds.")
    if found not in catalog.plugins("heads"):
        raise ValueError(
            f"{file} holds a detector alone, that of {found}; expected one with a head; give the folder that it is in."
        )
    detector = weights_folder.file(file.parent, weights_folder.DETECTOR)
    return (detector, file) if task.detector is not None and detector.is_file() else (file,)


def _load(files: tuple[Path, ...], device: str) -> Predictor:
    task = task_of(files)
    assert task is not None
    return Predictor(
        model=load_files(files, task.subject, Context(device=device), task.category_ids),
        task=task,
        device=device,
        files=files,
    )
