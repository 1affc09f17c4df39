"""The dice loss, which several heads learn from beside the cross-entropy that all share."""

from jaxtyping import Float
from torch import Tensor


def dice_loss(
    logits: Float[Tensor, "R S S"],
    target: Float[Tensor, "R S S"],
    *,
    squared: bool = False,
    smooth: float = 1.0,
    weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Sum over regions of 1 - (2 sum(p t) + s) / (sum p + sum t + s), times a weight; p are probabilities of cells.

    `squared` sums their squares below and adds `smooth` there only (CondInst, after V-Net). Without regions it is 0 and
    still attached to the graph.
    """
    probabilities, target = logits.sigmoid().flatten(1), target.to(logits.dtype).flatten(1)
    overlap = 2 * (probabilities * target).sum(1)
    if squared:
        return weight * (1 - overlap / ((probabilities**2).sum(1) + (target**2).sum(1) + smooth)).sum()
    return weight * (1 - (overlap + smooth) / (probabilities.sum(1) + target.sum(1) + smooth)).sum()
