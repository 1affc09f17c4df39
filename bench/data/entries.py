"""The entries of annotation files, in the one form that all readers see: ids are whole numbers, masks still JSON."""

from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from bench.data.segmentation import RunLengths

MOST_PIXELS = 2**29
"""pycocotools counts pixels in 32 bits, and the run lengths of larger masks do not survive it."""

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


class Entries(msgspec.Struct, frozen=True):
    """An annotation file. A list that it does not have differs from an empty one."""

    images: tuple[ImageEntry, ...]
    annotations: tuple[Annotation[msgspec.Raw], ...] | UnsetType = UNSET
    categories: tuple[Category, ...] | UnsetType = UNSET
