"""Glyphs as samples for training: made when they are asked for, in any worker, and always the same."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from bench.data.augment import Picture, Transform
from bench.data.samples import Sample, draws, sample_of
from bench.data.segmentation import rasterise
from bench.glyphs.annotator import polygon_box
from bench.glyphs.font import CATEGORIES
from bench.glyphs.scene import SIDE, VERSION, Scene, scene

Split = Literal["train", "tune", "test"]

SEEDS: dict[Split, int] = {"train": 1, "tune": 2, "test": 3}
"""What the scenes of a split are made from: no scene is in two splits. Choices are made on `tune`, never on `test`."""

_IDS_PER_SPLIT = 1_000_000


def image_id(split: Split, index: int) -> int:
    """The id of an image, of which no other split has one: 1000000 and up, 2000000 and up, 3000000 and up."""
    return SEEDS[split] * _IDS_PER_SPLIT + index


@dataclass(frozen=True, kw_only=True)
class GlyphDataset(Dataset[Sample]):
    """The first images of a split, with coarse masks as COCO's or fine ones as LVIS's.

    What the transform draws depends on `seed`, `epoch` and index alone, as in `bench.data.samples.CocoDataset`; the
    images stay the same. Raises ValueError where it would have no image, or more than a split can number.
    """

    split: Split
    num_images: int
    transform: Transform
    masks: Literal["coarse", "fine"] = "coarse"
    seed: int = 0
    epoch: int = 0

    def __post_init__(self) -> None:
        check_num_images(self.num_images)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Label `i` is category `category_ids[i]`."""
        return tuple(category.id for category in CATEGORIES)

    @property
    def content(self) -> str:
        """A description of the images and masks that is equal only for equal data."""
        return f"glyphs {VERSION} {self.split} {self.num_images} {self.masks}"

    def at(self, epoch: int) -> "GlyphDataset":
        """Give the same images with the random draws of another epoch."""
        return replace(self, epoch=epoch)

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.num_images:
            raise IndexError(f"There is no image {index}: the data set has {self.num_images}.")
        picture = self.transform(self._picture(scene(SEEDS[self.split], index)), draws(self.seed, self.epoch, index))
        return sample_of(picture, image_id(self.split, index), (SIDE, SIDE))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _picture(self, made: Scene) -> Picture:
        if self.masks == "coarse":
            polygons = [[ring.ravel().tolist() for ring in each.polygons] for each in made.objects]
            masks = rasterise(polygons, SIDE, SIDE)
            boxes = np.array([polygon_box(each.polygons) for each in made.objects], np.float32)
        else:
            masks = np.array([each.mask for each in made.objects], np.uint8)
            boxes = np.array([each.box for each in made.objects], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([each.label for each in made.objects], dtype=torch.int64)
        return Picture.of(Image.fromarray(made.image), torch.from_numpy(boxes), torch.from_numpy(masks), labels)


def check_num_images(num_images: int) -> None:
    """Raise ValueError for a number of images that a split cannot have."""
    if not 1 <= num_images <= _IDS_PER_SPLIT:
        raise ValueError(
            f"{num_images} glyph images were asked for; expected 1 to {_IDS_PER_SPLIT}, which the ids of a split can "
            "number; give another number."
        )
