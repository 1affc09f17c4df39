"""What FQDet says of a batch, in either version: scores of all anchors, and the queries of the selected ones."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FQDetOutput:
    """The output of the detector for every image: scores of all anchors, and the queries of the selected ones.

    `anchor_index`: flat indices into the anchors of the pyramid, all different, best selection logit first.
    `queries`: raw output of the last decoder layer. The last of the K classes is "no object".
    `deltas`: the predicted boxes relative to `anchor_boxes`; `boxes`: the same as xyxy.
    """

    selection_logits: Float[Tensor, "B N"]
    anchor_index: Int[Tensor, "B Q"]
    anchor_boxes: Float[Tensor, "B Q 4"]
    queries: Float[Tensor, "B Q C"]
    class_logits: Float[Tensor, "B Q K"]
    deltas: Float[Tensor, "B Q 4"]
    boxes: Float[Tensor, "B Q 4"]
