"""Boxes of objects from elsewhere, in which masks are wanted: of one picture, and a file of them in COCO's format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray


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
