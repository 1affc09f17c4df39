"""What a model finds in a picture, for people: arrays in pixels of the picture, a drawing of them, COCO results."""

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from PIL import Image

from bench.data.image_ids import Id
from bench.inference.mask_crop import MaskCrop
from bench.inference.overlay import Shape, draw
from bench.model.assemble import RunLengths

_SHOWN = 1600
"""Longest side of a picture in a notebook, in pixels."""


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Prediction:
    """The objects that were found in a picture, the highest score first.

    `image` is the picture as RGB, and everything is in its pixels. `boxes` are xyxy, as they were given to the mask
    head, and may reach beyond the picture. `class_ids` are those of the data that the model was trained on. `crops` are
    the masks on the extents of their boxes; objects that were found in one box may share one.
    """

    image: UInt8[np.ndarray, "H W 3"]
    crops: tuple[MaskCrop, ...]
    boxes: Float32[np.ndarray, "D 4"]
    class_ids: Int64[np.ndarray, "D"]
    class_names: tuple[str, ...]
    scores: Float32[np.ndarray, "D"]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.crops)

    def __repr__(self) -> str:
        height, width = self.size
        classes = ", ".join(f"{count} {name}" for name, count in self.counts().items())
        return f"<Prediction: {width} x {height} pixels, {len(self)} objects{': ' * bool(classes)}{classes}>"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def masks(self) -> Bool[np.ndarray, "D H W"]:
        """All masks on the whole picture, made anew each time: D x H x W bytes. `crops` and `mask` take less."""
        masks = np.zeros((len(self), *self.size), bool)
        for mask, crop in zip(masks, self.crops, strict=True):
            height, width = crop.mask.shape
            mask[crop.top : crop.top + height, crop.left : crop.left + width] = crop.mask
        return masks

    def mask(self, index: int) -> Bool[np.ndarray, "H W"]:
        """The mask of one object on the whole picture."""
        return self.crops[index].on(self.size)

    def counts(self) -> dict[str, int]:
        """Number of objects by name of class, the most frequent first."""
        return dict(Counter(self.class_names).most_common())

    def above(self, score: float) -> Self:
        """The objects of at least this score."""
        return self.chosen(np.flatnonzero(self.scores >= score).tolist())

    def chosen(self, indices: Iterable[int]) -> Self:
        """Some of the objects, in this order."""
        index = np.array(list(indices), np.int64)
        return replace(
            self,
            crops=tuple(self.crops[each] for each in index),
            boxes=self.boxes[index],
            class_ids=self.class_ids[index],
            class_names=tuple(self.class_names[each] for each in index),
            scores=self.scores[index],
        )

    def overlay(self) -> Image.Image:
        """The picture with outlines, light fills, classes and scores of its objects."""
        rows = zip(self.crops, self.class_ids.tolist(), self.class_names, self.scores.tolist(), strict=True)
        shapes = [
            Shape(mask=crop.mask, top=crop.top, left=crop.left, name=name, note=f"{score:.2f}", group=class_id)
            for crop, class_id, name, score in rows
        ]
        return draw(Image.fromarray(self.image), shapes)

    def coco_results(self, image_id: Id) -> list[dict[str, Id | float | RunLengths]]:
        """The objects in COCO's result format. There is no `bbox`: evaluators would take its area for the mask's."""
        made: dict[int, RunLengths] = {}
        for crop in self.crops:
            if id(crop) not in made:
                made[id(crop)] = crop.encode(self.size)
        rows = zip(self.crops, self.class_ids.tolist(), self.scores.tolist(), strict=True)
        return [
            {"image_id": image_id, "category_id": category, "score": score, "segmentation": made[id(crop)]}
            for crop, category, score in rows
        ]

    def _repr_png_(self) -> bytes:
        """Show the overlay in a notebook, large ones made smaller."""
        shown, content = self.overlay(), io.BytesIO()
        shown.thumbnail((_SHOWN, _SHOWN))
        shown.save(content, "PNG")
        return content.getvalue()
