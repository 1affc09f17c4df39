"""Boxes of objects from elsewhere, in which masks are wanted: of one picture, and a file of them in COCO's format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from bench import json_file
from bench.data.given_pictures import GivenPicture


@dataclass(frozen=True, kw_only=True)
class GivenBoxes:
    """Boxes [D 4] of objects (xyxy, pixels of the picture), in which masks are wanted.

    `class_ids` are those of the model; without, the detector says the class and the score of what is in a box.
    """

    boxes: Float64[np.ndarray, "D 4"]
    class_ids: Int64[np.ndarray, "D"] | None = None
    scores: Float64[np.ndarray, "D"] | None = None

    @classmethod
    def of(
        cls,
        boxes: Sequence[Sequence[float]] | NDArray[np.generic],
        class_ids: Sequence[int] | NDArray[np.generic] | None = None,
        scores: Sequence[float] | NDArray[np.generic] | None = None,
    ) -> "GivenBoxes":
        """Make them from what can be turned into arrays. Raises ValueError for boxes without area or other lengths."""
        made = np.array(boxes, np.float64).reshape(-1, 4) if np.size(boxes) in (0, 4) else np.array(boxes, np.float64)
        if made.ndim != 2 or made.shape[1] != 4:
            raise ValueError(
                f"Boxes have the shape {made.shape}; expected a row (left, top, right, bottom) for every box; give "
                "them so."
            )
        wrong = np.flatnonzero(~(np.isfinite(made).all(1) & (made[:, 2:] > made[:, :2]).all(1)))
        if len(wrong):
            raise ValueError(
                f"Box {wrong[0]} is {made[wrong[0]].tolist()}; expected left, top, right, bottom in pixels, with right "
                "beyond left and bottom beyond top; convert one of x, y, width, height, or remove it."
            )
        for name, each in (("classes", class_ids), ("scores", scores)):
            if each is not None and len(each) != len(made):
                raise ValueError(
                    f"{len(made)} boxes have {len(each)} {name}; expected one for every box; give as many, or none."
                )
        return cls(
            boxes=made,
            class_ids=None if class_ids is None else np.array(class_ids, np.int64),
            scores=None if scores is None else np.array(scores, np.float64),
        )

    def parts(self, most: int) -> Iterator["GivenBoxes"]:
        """The same in parts of at most so many boxes; one part where there is none."""
        for start in range(0, max(1, len(self.boxes)), most):
            part = slice(start, start + most)
            yield GivenBoxes(
                boxes=self.boxes[part],
                class_ids=None if self.class_ids is None else self.class_ids[part],
                scores=None if self.scores is None else self.scores[part],
            )


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """A detection, an annotation or a result with a box (x, y, width, height)."""

    image_id: int | float | str | None = None
    file_name: str = ""
    category_id: int | None = None
    bbox: tuple[float, float, float, float] | None = None
    score: float | None = None


class _Image(msgspec.Struct, frozen=True, gc=False):
    id: int | float | str
    file_name: str = ""
    height: int | None = None
    width: int | None = None


class _Annotations(msgspec.Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Entry]


@dataclass(frozen=True, kw_only=True)
class PictureBoxes:
    """The boxes of a picture, and its (height, width) where the file says it: they are in pixels of that."""

    boxes: GivenBoxes
    size: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class BoxesFile:
    """The boxes of pictures by their names; how many are of others, and how many have no area and are left out."""

    of: Mapping[str, PictureBoxes]
    elsewhere: int
    without_area: int


def read_boxes(path: Path, pictures: Sequence[GivenPicture]) -> BoxesFile:
    """Read the boxes of pictures from annotations or detections in COCO's format.

    Pictures are found by `file_name`, by the whole of it or its last part, else by their ids, which are numbers or the
    names of files without ending. Raises ValueError for a file that does not fit the format, and where it has no box of
    any of the pictures.
    """
    decoder = msgspec.json.Decoder(list[_Entry] | _Annotations)
    found = json_file.decode(json_file.read(path), str(path), decoder, "detection")
    entries = found if isinstance(found, list) else found.annotations
    images = {} if isinstance(found, list) else {image.id: image for image in found.images}
    places = _Places.of(pictures)
    grouped: dict[str, list[_Entry]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for image in images.values():
        name = places.find(image.file_name, image.id)
        if name is not None:
            grouped[name] = []
            if image.height and image.width:
                sizes[name] = (image.height, image.width)
    elsewhere = without_area = 0
    for entry in entries:
        listed = images.get(entry.image_id) if entry.image_id is not None else None
        name = places.find(entry.file_name or (listed.file_name if listed else ""), entry.image_id)
        if name is None:
            elsewhere += 1
        elif entry.bbox is None or min(entry.bbox[2:]) <= 0:
            without_area += 1
        else:
            grouped.setdefault(name, []).append(entry)
    if not any(grouped.values()):
        raise ValueError(
            f"{path} has {len(entries)} boxes, and none of the {len(pictures)} pictures, of which the first is "
            f"{pictures[0].name}; expected the names of the files as file_name, or without ending as image_id; "
            "correct them, or give the file of these pictures."
        )
    return BoxesFile(
        of={name: PictureBoxes(boxes=_given(of_one), size=sizes.get(name)) for name, of_one in grouped.items()},
        elsewhere=elsewhere,
        without_area=without_area,
    )


@dataclass(frozen=True, kw_only=True)
class _Places:
    """The names of pictures by what a file may call them; None for what two of them are called."""

    by_text: Mapping[str, str | None]
    by_number: Mapping[int, str | None]

    @classmethod
    def of(cls, pictures: Sequence[GivenPicture]) -> "_Places":
        texts: dict[str, str | None] = {}
        integers: dict[int, str | None] = {}
        for picture in pictures:
            path = PurePosixPath(picture.name)
            for text in {path.name, path.stem} - {picture.name}:
                texts[text] = None if text in texts else picture.name
            if path.stem.isascii() and path.stem.isdigit():
                integers[int(path.stem)] = None if int(path.stem) in integers else picture.name
        texts |= {picture.name: picture.name for picture in pictures}
        return cls(by_text=texts, by_number=integers)

    def find(self, file_name: str, image_id: int | float | str | None) -> str | None:
        """The name of a picture, None where there is none."""
        if file_name:
            path = PurePosixPath(file_name.replace("\\", "/"))
            return self.by_text.get(str(path)) or self.by_text.get(path.name)
        if image_id is None:
            return None
        if isinstance(image_id, str):
            return self.by_text.get(image_id)
        return self.by_number.get(int(image_id))


def _given(entries: Sequence[_Entry]) -> GivenBoxes:
    """Boxes of one picture; classes and scores only where all have them."""
    corners = [
        (each.bbox[0], each.bbox[1], each.bbox[0] + each.bbox[2], each.bbox[1] + each.bbox[3])
        for each in entries
        if each.bbox is not None
    ]
    classes = [each.category_id for each in entries if each.category_id is not None]
    scores = [each.score for each in entries if each.score is not None]
    return GivenBoxes.of(
        corners,
        classes if len(classes) == len(entries) else None,
        scores if len(scores) == len(entries) else None,
    )
