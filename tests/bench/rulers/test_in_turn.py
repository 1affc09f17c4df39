"""Rivals are timed in turn: the order of calls, the number of rounds, what a rival raises."""

import numpy as np
import pytest

from bench.rulers.in_turn import MIN_REPETITIONS, alternate
from sparsity import Unsupported


def test_rounds_run_forwards_and_backwards_after_a_warm_up() -> None:
    calls: list[str] = []
    rivals = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = alternate(rivals, "cpu", repetitions=4, limit_s=60.0)
    assert "".join(calls) == "abc" + "abc" + "cba" + "abc" + "cba"
    assert list(times) == ["a", "b", "c"]
    assert all(array.shape == (4,) and bool(np.all(array > 0)) for array in times.values())


def test_a_limit_stops_early_but_not_before_the_fewest_rounds() -> None:
    times = alternate({"only": lambda: None}, "cpu", repetitions=50, limit_s=0.0)
    assert len(times["only"]) == MIN_REPETITIONS
    assert len(alternate({"only": lambda: None}, "cpu", repetitions=1, limit_s=0.0)["only"]) == 1


def test_what_the_first_rival_raises_comes_before_any_work_of_the_second() -> None:
    calls: list[int] = []

    def cannot() -> None:
        raise Unsupported("cannot")

    with pytest.raises(Unsupported):
        alternate({"cannot": cannot, "can": lambda: calls.append(1)}, "cpu", repetitions=3, limit_s=1.0)
    assert not calls


def test_a_slow_rival_needs_no_warm_up_of_its_own() -> None:
    calls: list[str] = []
    rivals = {name: lambda name=name: calls.append(name) for name in "ab"}
    alternate(rivals, "cpu", repetitions=5, limit_s=0.0, at_least=2, warm_up=["a"])
    assert "".join(calls) == "a" + "ab" + "ba"
