"""The contract of a detector: a pyramid in, detections out; in training its losses, and the regions heads learn on.

A detector is one module of this package that has a frozen dataclass `Config`, its `PRESETS` ("paper", "small") and
`build(config, channels, num_classes)`; `bench.catalog.DETECTORS` names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from heads import Detections, Pyramid


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The regions of one image that heads learn on: a box and a query each, and the object that it shows.

    Boxes are xyxy in input pixels and carry no gradient. `object[m]` counts the objects of the image.
    """

    boxes: Float[Tensor, "M 4"]
    queries: Float[Tensor, "M C"]
    object: Int[Tensor, "M"]


@runtime_checkable
class Detector(Protocol):
    """A detector on top of a pyramid, an `nn.Module`.

    `query_size` is the C of its queries, `max_given` the most boxes of an image that `queries_at` takes at once. What a
    call gives is a dataclass of tensors, one for each thing that the detector says, so that its cost can be counted.
    """

    num_classes: int
    query_size: int
    max_given: int

    def __call__(self, pyramid: Pyramid, image_size: tuple[int, int]) -> Any:
        """Look at a batch; `image_size` is the (height, width) of the padded input."""
        ...

    def detections(self, output: Any) -> Detections:
        """The inference rule: which regions and predictions follow from what a call gave."""
        ...

    def queries_at(
        self, pyramid: Pyramid, image_size: tuple[int, int], boxes: Sequence[Float[Tensor, "G 4"]]
    ) -> list[Float[Tensor, "G C"]]:
        """Queries of given boxes (xyxy, input pixels) per image."""
        ...

    def class_scores(self, queries: Float[Tensor, "R C"]) -> Float[Tensor, "R K"]:
        """The probability of each of the `num_classes` classes that queries show, "no object" left out."""
        ...

    def learn(
        self,
        pyramid: Pyramid,
        image_size: tuple[int, int],
        boxes: Sequence[Float[Tensor, "G 4"]],
        labels: Sequence[Int[Tensor, "G"]],
        *,
        true_boxes: bool = False,
        include: Sequence[Int[Tensor, "M"]] | None = None,
    ) -> tuple[dict[str, Float[Tensor, ""]], list[Learned]]:
        """Losses by name, each summed over the batch, and what heads learn on in every image.

        `boxes[b]` and `labels[b]` are the objects of image b. With `true_boxes`, heads learn on the boxes of the
        objects themselves, one region each, instead of on predicted ones. `include` are anchors that must be among the
        queries, for detectors that have anchors. A detector without losses gives none.
        """
        ...
