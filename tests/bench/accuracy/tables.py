"""Equality of match tables, column by column."""

import dataclasses

import numpy as np

from bench.accuracy.matching import Matches


def assert_equal(one: Matches, other: Matches) -> None:
    """Same values, types and order."""
    for field in dataclasses.fields(Matches):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right
