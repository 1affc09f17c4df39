"""Random input of a head: the same for all, inside its image."""

import torch

from bench.contract import Context
from bench.rulers.random_input import random_input


def test_the_first_regions_of_many_are_those_of_few_and_inside_the_image() -> None:
    many = random_input(20, "small", Context(seed=3), size=(60, 90))
    again = random_input(20, "small", Context(seed=3), size=(60, 90))
    few = many.first(5)
    assert torch.equal(many.regions.boxes, again.regions.boxes)
    assert torch.equal(few.regions.boxes, many.regions.boxes[:5])
    assert (few.regions.region_counts, few.regions.prediction_counts, len(few.regions.queries)) == ((5,), (5,), 5)
    left, top, right, bottom = many.regions.boxes.T
    assert bool(((left >= 0) & (top >= 0) & (left < right) & (top < bottom) & (right <= 90) & (bottom <= 60)).all())
    assert many.pyramid[2].shape == (1, 64, 15, 23)
