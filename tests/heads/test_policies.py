"""Rules of where to refine, on masks made by hand."""

import torch
from torch import Tensor

from heads import Stage, Targets
from heads._policies import at_boundary, at_random, oracle, predicted, uncertainty


def disk(side: int) -> Tensor:
    """Logits of one region: positive inside a disk, largest at its centre."""
    ticks = torch.linspace(-1, 1, side)
    return (0.5 - (ticks[:, None] ** 2 + ticks**2))[None]


def dense(side: int, refine: Tensor | None = None) -> Stage:
    return Stage(side=side, mask_logits=disk(side), refine_logits=refine)


def sparse(side: int, rows: list[int], columns: list[int], logits: list[float]) -> Stage:
    point = (torch.tensor([columns, rows]).T + 0.5) / side
    return Stage(
        side=side,
        mask_logits=torch.tensor(logits),
        refine_logits=torch.tensor(logits) + 1,
        region=torch.zeros(len(rows), dtype=torch.int64),
        point=point,
        overwrite="selected",
    )


def test_the_learned_rule_is_the_refinement_branch_of_the_last_stage() -> None:
    last = sparse(16, [3, 4], [5, 6], [0.5, -2.0])
    assert torch.equal(predicted([dense(8, torch.rand(1, 8, 8)), last]), last.refine_logits)


def test_the_least_certain_cell_comes_first() -> None:
    scores = uncertainty([dense(8), sparse(16, [0, 1, 2], [0, 1, 2], [3.0, -0.1, -2.0])])
    assert scores.argsort(descending=True).tolist() == [1, 2, 0]


def test_the_outline_comes_before_everything_else_and_within_it_the_least_certain() -> None:
    stage = dense(16)
    scores = at_boundary([stage])
    assert scores.shape == stage.mask_logits.shape
    inside = stage.mask_logits[0] >= 0
    padded = torch.nn.functional.pad(inside[None, None].float(), (1, 1, 1, 1))
    around = torch.nn.functional.unfold(padded, 3).view(9, 16, 16)
    outline = around.amin(0) != around.amax(0)
    assert 0 < outline.sum() < 100
    assert torch.equal(scores[0] > 1, outline)
    certainty = stage.mask_logits[0].abs()
    assert torch.equal(scores[0][outline].argsort(), certainty[outline].argsort(descending=True))


def test_the_outline_is_that_of_the_mask_so_far() -> None:
    """The last stage says that one cell in the middle of the disk is a hole: it and the cells around it are outline."""
    rows, columns = [8, 8, 2], [8, 9, 2]
    solid = at_boundary([dense(8), sparse(16, rows, columns, [5.0, 5.0, -5.0])])
    holed = at_boundary([dense(8), sparse(16, rows, columns, [-5.0, 5.0, -5.0])])
    assert (solid > 1).tolist() == [False, False, False]
    assert (holed > 1).tolist() == [True, True, False]


def test_random_places_depend_on_the_generator_alone() -> None:
    stages = [dense(8)]
    first, again = (at_random(torch.Generator().manual_seed(3))(stages) for _ in range(2))
    assert first.shape == stages[0].mask_logits.shape
    assert torch.equal(first, again)
    rule = at_random(torch.Generator().manual_seed(3))
    assert not torch.equal(rule(stages), rule(stages))


def test_the_oracle_takes_mixed_cells_and_the_half_covered_first() -> None:
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[0, :, :13] = True  # column 3 of an 8x8 grid is covered by a quarter, the others in full or not at all
    masks[0, 8:, 12:14] = True  # ... and from its third row on by a half
    targets = Targets(
        masks=masks,
        image=torch.zeros(1, dtype=torch.int64),
        index=torch.zeros(1, dtype=torch.int64),
        boxes=torch.tensor([[0.0, 0.0, 32.0, 32.0]]),
        image_sizes=torch.tensor([[32.0, 32.0]]),
    )
    scores = oracle(targets)([dense(8)])[0]
    assert torch.equal(scores > 1, torch.arange(8).expand(8, 8) == 3)
    assert scores[5, 3] > scores[0, 3]
    assert torch.equal(oracle(targets)([dense(8), sparse(8, [5, 0], [3, 0], [0.0, 0.0])]), scores[[5, 0], [3, 0]])
