"""Names of subjects: as the paper calls them, with no more than what tells them apart."""

import pytest

from bench.record import Subject
from reports.select.naming import names

EFFSEG = Subject(head="effseg", module="sfm", backend="sps", backbone="r50_fpn", preset="paper")


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        ([], []),
        ([EFFSEG, EFFSEG], ["EffSeg", "EffSeg"]),
        ([EFFSEG, Subject(head="mask_rcnn", backbone="r50_fpn", preset="paper")], ["EffSeg", "Mask R-CNN++"]),
        (
            [EFFSEG, Subject(head="effseg", module="mlp", backend="sps", seed=2)],
            ["EffSeg SFM", "EffSeg MLP"],
        ),
        ([Subject(head="effseg", seed=seed) for seed in (0, 2)], ["EffSeg seed 0", "EffSeg seed 2"]),
        (
            [Subject(head="a", backbone=name) for name in ("r50_fpn", "small_fpn", "r50_defenc")],
            ["a R50+FPN", "a small_fpn", "a R50+DefEnc"],
        ),
        ([Subject(head=name, weights=f"sha256:{name}") for name in ("mine", "theirs")], ["mine", "theirs"]),
        (
            [Subject(head="a", weights=weights) for weights in ("sha256:0123456789", "random")],
            ["a 01234567", "a random"],
        ),
        ([Subject(backend="sps", kernel=kernel, weights="none") for kernel in (None, "native")], ["SPS", "SPS:native"]),
        (
            [Subject(head="effseg", backend="sps", kernel=kernel) for kernel in (None, "native")],
            ["EffSeg", "EffSeg native"],
        ),
        ([Subject(backend="sps"), EFFSEG], ["SPS", "EffSeg"]),
    ],
)
def test_a_subject_is_called_by_what_tells_it_apart(subjects: list[Subject], expected: list[str]) -> None:
    assert names(subjects) == expected
