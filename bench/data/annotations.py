"""The annotation files of COCO and LVIS: their format, and their content, which is read once while it is the same.

The format requires what no reader can do without. What some need and others do not, they ask for: `require`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from bench import json_file
from bench.data.segmentation import RunLengths
from bench.files import checksum_of

MOST_PIXELS = 2**29
"""pycocotools counts pixels in 32 bits, and the run lengths of larger masks do not survive it."""

_NUM_KEPT = 2  # of a run, one of COCO and one of LVIS: more must not stay, since train2017's has 450 MB

_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=MOST_PIXELS)]

S = TypeVar("S", bound=msgspec.Raw | RunLengths, covariant=True)


class ImageEntry(msgspec.Struct, frozen=True, gc=False):
    """An image, its size in pixels, where its file is, and LVIS's lists of classes, by category.

    `file_name` may begin with folders; of `coco_url` the last folder and the name count. LVIS's lists are of classes
    that are not on the image, and of those of which not every object is annotated.
    """

    id: _Id
    height: _Side
    width: _Side
    file_name: str = ""
    coco_url: str = ""
    neg_category_ids: tuple[_Id, ...] | UnsetType = UNSET
    not_exhaustive_category_ids: tuple[_Id, ...] | UnsetType = UNSET


class Annotation(msgspec.Struct, Generic[S], frozen=True, gc=False):
    """An object: `bbox` is (x, y, width, height) in pixels of its image, `area` is in pixels.

    The segmentation of one from a file is still JSON: as Python numbers, those of COCO's training images would take
    gigabytes.
    """

    image_id: _Id
    category_id: _Id
    segmentation: S
    id: int | float | str | None = None
    area: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    iscrowd: int | bool | None = 0
    ignore: int | bool | None = 0


class Category(msgspec.Struct, frozen=True, gc=False):
    """A class; `frequency` is LVIS's letter r, c or f."""

    id: _Id
    name: str = ""
    frequency: str = ""
    synset: str = ""


class _Entries(msgspec.Struct, frozen=True):
    images: tuple[ImageEntry, ...]
    annotations: tuple[Annotation[msgspec.Raw], ...] | UnsetType = UNSET
    categories: tuple[Category, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class AnnotationFile:
    """The content of an annotation file, JSON or gzip; `name` is what messages call it.

    It is decoded when an entry is first asked for, which raises ValueError for content that is no annotation file.
    """

    name: str
    content: bytes

    @cached_property
    def checksum(self) -> str:
        """The "sha256:..." of the content."""
        return checksum_of(self.content)

    @property
    def images(self) -> tuple[ImageEntry, ...]:
        """The images in the order of the file."""
        return self._entries.images

    @property
    def annotations(self) -> tuple[Annotation[msgspec.Raw], ...]:
        """The objects in the order of the file; none where it has no such list."""
        return self._entries.annotations or ()

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in the order of the file; none where it has no such list."""
        return self._entries.categories or ()

    def require(
        self, *, lists: Sequence[str] = (), of_images: Sequence[str] = (), of_annotations: Sequence[str] = ()
    ) -> None:
        """Raise ValueError where the file lacks one of these lists, or an image or annotation one of these fields."""
        for name in lists:
            if getattr(self._entries, name) is UNSET:
                raise ValueError(json_file.misfit(self.name, "annotation", _missing(name)))
        for name in of_images:
            for index, image in enumerate(self.images):
                if getattr(image, name) is UNSET:
                    error = f"{_missing(name)} - at `$.images[{index}]`"
                    raise ValueError(json_file.misfit(self.name, "annotation", error))
        for name in of_annotations:
            for index, annotation in enumerate(self.annotations):
                if getattr(annotation, name) is None:
                    error = f"{_missing(name)} - at `$.annotations[{index}]`"
                    raise ValueError(json_file.misfit(self.name, "annotation", error, self.place(index)))

    def place(self, index: int) -> str:
        """Name an annotation as all messages do."""
        return json_file.place("annotation", index, self.annotations[index].image_id)

    @cached_property
    def _entries(self) -> _Entries:
        return json_file.decode(self.content, self.name, msgspec.json.Decoder(_Entries), "annotation")


_kept: dict[json_file.State, AnnotationFile] = {}


def read_annotations(path: Path, *, keep: bool = True) -> AnnotationFile:
    """Read an annotation file. One that is kept already is read again only if it has changed since.

    Only the last two with `keep` are: it is for what a run asks for again in every cell. Raises ValueError for a file
    that cannot be read.
    """
    state = json_file.state(path)
    file = _kept.get(state) or AnnotationFile(name=str(path), content=json_file.read(path))
    if keep:
        _kept[state] = file
        while len(_kept) > _NUM_KEPT:
            del _kept[next(iter(_kept))]
    return file


def _missing(field: str) -> str:
    return f"Object missing required field `{field}`"
