"""The folder of predictions: an overlay of every picture, and the results of all in COCO's format."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec
from PIL import Image

from bench.data.given_pictures import GivenPicture, numbers
from bench.data.image_ids import Id
from bench.files import write_whole
from bench.inference.prediction import Prediction

RESULTS = "predictions.json"
IDS = "images.json"
PICTURES = "pictures.json"

_AS_THEY_ARE = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_QUALITY = 92


@dataclass(frozen=True, kw_only=True)
class PredictionFolder:
    """A folder that fills up picture by picture; `finish` writes what is about all.

    `predictions.json` has the results, `images.json` the ids of the pictures that were read, as `evaluate --images`
    takes it, and `pictures.json` these with their files and sizes, and the classes, as an annotation file has them.
    """

    folder: Path
    overlays: dict[str, Path]
    ids: dict[str, Id]
    categories: tuple[tuple[int, str], ...]
    _results: list[msgspec.Raw] = field(default_factory=list)
    _images: list[dict[str, Id]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        folder: Path,
        pictures: Sequence[GivenPicture],
        categories: Sequence[tuple[int, str]],
        others: Sequence[Path] = (),
    ) -> "PredictionFolder":
        """Say where everything goes, and write nothing.

        Raises ValueError where a picture lies in the folder already, or another file would be written over that is
        read.
        """
        resolved = folder.resolve()
        inside = next((picture for picture in pictures if picture.path.resolve().is_relative_to(resolved)), None)
        if inside is not None:
            raise ValueError(
                f"The picture {inside.path} lies in {folder}, where the overlays go; expected another folder, so that "
                "no picture is written over; name one that has no picture to predict."
            )
        made = cls(
            folder=folder,
            overlays=_overlays(folder, pictures),
            ids=dict(zip((picture.name for picture in pictures), numbers(pictures), strict=True)),
            categories=tuple(categories),
        )
        targets = {path.resolve() for path in (*made.overlays.values(), *(folder / each for each in _OF_ALL))}
        for other in others:
            if other.resolve() in targets:
                raise ValueError(
                    f"{other} would be written over, and is read; expected results in another folder; name one."
                )
        return made

    def add(self, picture: GivenPicture, found: Prediction, shown: Prediction) -> Path:
        """Write the overlay of what is shown of a picture, keep all that was found, and give the overlay's file.

        Raises ValueError where it cannot be written.
        """
        path = self.overlays[picture.name]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, encoded(shown.overlay(), path))
        except OSError as error:
            raise _unwritten(path, error) from error
        image_id = self.ids[picture.name]
        for result in found.coco_results(image_id):
            self._results.append(msgspec.Raw(msgspec.json.encode({**result, "file_name": picture.name})))
        height, width = found.size
        self._images.append({"id": image_id, "file_name": picture.name, "height": height, "width": width})
        return path

    def finish(self) -> None:
        """Write the files about all pictures that were added. Raises ValueError where one cannot be written."""
        categories = [{"id": number, "name": name} for number, name in self.categories]
        contents = {
            RESULTS: msgspec.json.encode(self._results),
            IDS: msgspec.json.encode([image["id"] for image in self._images]),
            PICTURES: msgspec.json.encode({"images": self._images, "categories": categories}),
        }
        for name, content in contents.items():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_whole(self.folder / name, content)
            except OSError as error:
                raise _unwritten(self.folder / name, error) from error


_OF_ALL = (RESULTS, IDS, PICTURES)


def encoded(image: Image.Image, path: Path) -> bytes:
    """An overlay as the content of a file of this name: JPEG for photographs, PNG for everything else."""
    content = io.BytesIO()
    if _AS_THEY_ARE[path.suffix.lower()] == "JPEG":
        image.save(content, "JPEG", quality=_QUALITY, subsampling=0)  # colours at full resolution, for thin lines
    else:
        image.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _overlays(folder: Path, pictures: Sequence[GivenPicture]) -> dict[str, Path]:
    """The file of every picture's overlay, each another one, also where upper and lower case are the same."""
    taken = {name.casefold() for name in _OF_ALL}
    found = {}
    for picture in sorted(pictures, key=lambda each: PurePosixPath(each.name).suffix.lower() not in _AS_THEY_ARE):
        name = picture.name
        while PurePosixPath(name).suffix.lower() not in _AS_THEY_ARE or name.casefold() in taken:
            name += ".png"
        taken.add(name.casefold())
        found[picture.name] = folder / name
    return found


def _unwritten(path: Path, error: OSError) -> ValueError:
    return ValueError(
        f"{path} cannot be written: {error.strerror or error}; expected room and permission; make room, or name "
        "another folder."
    )
