"""Anchors and box deltas: the paper's numbers, the order of the flat index, round trips."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.detector.anchors import best_anchors, pyramid_anchors
from bench.detector.boxes import centre_size, decode, encode

CPU = torch.device("cpu")
SHAPES = {2: (6, 5), 3: (3, 3), 4: (2, 2)}


def test_first_cell_of_level_2() -> None:
    centres, sizes = centre_size(pyramid_anchors({2: (3, 4)}, CPU)[:9])
    assert torch.equal(centres, torch.full((9, 2), 2.0))
    sides = [16, 16, 16, 20.159, 20.159, 20.159, 25.398, 25.398, 25.398]
    torch.testing.assert_close(sizes.prod(dim=1).sqrt(), torch.tensor(sides), atol=1e-3, rtol=0)
    torch.testing.assert_close(sizes[0], torch.tensor([22.627, 11.314]), atol=1e-3, rtol=0)
    torch.testing.assert_close(sizes[:, 1] / sizes[:, 0], torch.tensor([0.5, 1, 2] * 3))


@given(level=st.sampled_from(list(SHAPES)), data=st.data())
def test_flat_index(level: int, data: st.DataObject) -> None:
    """(cells of the levels before + row * width + column) * 9 + size * 3 + ratio."""
    height, width = SHAPES[level]
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    size, ratio = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    before = sum(h * w for k, (h, w) in SHAPES.items() if k < level)
    box = pyramid_anchors(SHAPES, CPU)[(before + row * width + column) * 9 + size * 3 + ratio].double()
    side, aspect = 4 * 2 ** (level + size / 3), (0.5, 1, 2)[ratio]
    centre, extent = centre_size(box)
    expected_centre = torch.tensor([(column + 0.5) * 2**level, (row + 0.5) * 2**level], dtype=torch.float64)
    expected_extent = torch.tensor([side / math.sqrt(aspect), side * math.sqrt(aspect)], dtype=torch.float64)
    torch.testing.assert_close(centre, expected_centre, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(extent, expected_extent, rtol=1e-5, atol=1e-5)


def test_count_at_the_reference_size() -> None:
    shapes = {k: (math.ceil(800 / 2**k), math.ceil(1112 / 2**k)) for k in range(2, 8)}
    assert pyramid_anchors(shapes, torch.device("meta")).shape == (9 * 74_172, 4)


def test_an_anchor_fits_itself_best() -> None:
    anchors = pyramid_anchors(SHAPES, CPU)
    index = torch.arange(0, len(anchors), 7)
    assert torch.equal(best_anchors(anchors[index], anchors)[:, 0], index)


def test_best_anchors_are_sorted_and_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors = pyramid_anchors(SHAPES, CPU)
    boxes = torch.tensor([[1.0, 2.0, 17.0, 20.0], [0.0, 0.0, 9.0, 30.0], [5.0, 5.0, 5.0, 9.0]])
    best = best_anchors(boxes, anchors, 15)
    overlaps = _overlap(boxes[:2, None], anchors[best[:2]])
    assert (overlaps.diff(dim=1) <= 0).all()
    assert (overlaps[:, -1] >= _overlap(boxes[:2, None], anchors[None]).sort(descending=True).values[:, 14]).all()
    monkeypatch.setattr("bench.detector.anchors._OVERLAPS_AT_ONCE", len(anchors))
    assert torch.equal(best_anchors(boxes, anchors, 15), best)


def _overlap(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(dim=-1) for boxes in (first, second)]
    return shared / (areas[0] + areas[1] - shared)


coordinate = st.floats(-500, 1500)
side = st.floats(1, 800)


@given(st.tuples(coordinate, coordinate, side, side), st.tuples(coordinate, coordinate, side, side))
def test_decode_inverts_encode(box: tuple[float, ...], anchor: tuple[float, ...]) -> None:
    boxes, anchors = (torch.tensor([[x, y, x + w, y + h]], dtype=torch.float64) for x, y, w, h in (box, anchor))
    ratio = centre_size(boxes)[1] / centre_size(anchors)[1]
    restored = decode(encode(boxes, anchors), anchors)
    torch.testing.assert_close(centre_size(restored)[0], centre_size(boxes)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(centre_size(restored)[1] / centre_size(anchors)[1], ratio.clamp(max=62.5))


def test_no_deltas_give_the_anchor_and_large_ones_stay_finite() -> None:
    anchors = torch.tensor([[0.0, 0.0, 10.0, 20.0], [-5.0, -5.0, 5.0, 5.0]])
    torch.testing.assert_close(decode(torch.zeros(2, 4), anchors), anchors)
    shifted = decode(torch.tensor([[1.0, 0.5, 0.0, 0.0]]), anchors[:1])
    torch.testing.assert_close(shifted, torch.tensor([[10.0, 10.0, 20.0, 30.0]]))
    assert centre_size(decode(torch.full((2, 4), 1e4), anchors))[1].amax() == pytest.approx(62.5 * 20)
