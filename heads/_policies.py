"""Where to refine: the learned rule of EffSeg, and rules that can take its place without training.

A policy scores the cells that the last stage predicted; those with the highest scores are refined, within the budget.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from heads._compose import boundary, compose
from heads._contract import Stage, Targets
from heads._targets import at_cells, coverage, refinement_target

Policy = Callable[[Sequence[Stage]], Float[Tensor, "*cells"]]


def predicted(stages: Sequence[Stage]) -> Float[Tensor, "*cells"]:
    """Refine where the refinement branch says so (Sec. 3.3)."""
    logits = stages[-1].refine_logits
    assert logits is not None, "a stage before another one predicts where to refine"
    return logits


def uncertainty(stages: Sequence[Stage]) -> Float[Tensor, "*cells"]:
    """Refine where the mask is least certain, as PointRend does."""
    return -stages[-1].mask_logits.abs()


def at_boundary(stages: Sequence[Stage]) -> Float[Tensor, "*cells"]:
    """Refine along the outline of the mask so far, as RefineMask does: the least certain cells of it first."""
    outline = boundary(compose(stages) >= 0, 1)
    certainty = stages[-1].mask_logits.abs()
    return at_cells(outline.to(certainty.dtype), stages[-1]) + torch.sigmoid(-certainty)


def at_random(generator: torch.Generator) -> Policy:
    """Refine anywhere."""

    def policy(stages: Sequence[Stage]) -> Float[Tensor, "*cells"]:
        logits = stages[-1].mask_logits
        return torch.rand(logits.shape, generator=generator, device=logits.device)

    return policy


def oracle(targets: Targets) -> Policy:
    """Refine what is mixed in truth, half covered cells first: what the refinement branch is trained to find."""

    def policy(stages: Sequence[Stage]) -> Float[Tensor, "*cells"]:
        covered = at_cells(coverage(targets, stages[-1].side), stages[-1])
        return refinement_target(covered) + torch.minimum(covered, 1 - covered)

    return policy
