"""Sine codes against their formula, one number at a time."""

import math

import torch

from heads import lattice_code, sine_code


def test_pairs_of_sine_and_cosine() -> None:
    found = sine_code(torch.tensor([0.0, 3.0, 63.0]), 8)
    for row, position in zip(found.tolist(), (0.0, 3.0, 63.0), strict=True):
        for index, value in enumerate(row):
            phase = position / 10_000 ** (2 * (index // 2) / 8)
            assert abs(value - (math.cos(phase) if index % 2 else math.sin(phase))) < 1e-5


def test_a_lattice_is_counted_from_1_and_ends_at_a_full_turn() -> None:
    row, column = torch.tensor([[0, 3], [1, 2]]), torch.tensor([[4, 0], [2, 1]])
    found = lattice_code(row, column, (4, 5), 12)
    assert found.shape == (2, 2, 12)
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for start, index, length in ((0, row[place], 4), (6, column[place], 5)):
            phase = 2 * math.pi * (int(index) + 1) / length
            expected = sine_code(torch.tensor([phase]), 6)[0]
            torch.testing.assert_close(found[place][start : start + 6], expected)
