"""Latencies of a backend beside those of Dense: one median, quartiles and samples for each operation it can do."""

from itertools import product

import numpy as np
import pytest

from bench.contract import Context, Probe
from bench.names import OPERATIONS, STAGES
from bench.probes import backend_speed
from bench.record import Subject

SMALL = Context(regions=2, budget=20)


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_speed, "REPETITIONS", 3)


@pytest.mark.parametrize(
    ("name", "cannot"),
    [("sps", set()), ("neighbors", {"sfm", "deform"}), ("pointwise", {"conv", "sfm", "deform"})],
)
def test_every_operation_that_it_can_do(name: str, cannot: set[str]) -> None:
    assert isinstance(backend_speed, Probe)
    found = backend_speed.measure(Subject(backend=name, weights="none"), SMALL)
    places = [(value.at["stage"], value.at["operation"], value.name) for value in found.values]
    operations = OPERATIONS.keys() - cannot
    assert sorted(places) == sorted(product(STAGES, operations, ("ms", "dense_ms", "ratio")))
    assert found.samples.keys() == {f"stage{stage}_{operation}_{name}" for stage, operation, name in places}
    for value in found.values:
        assert value.interval is not None
        assert 0 < value.interval[0] <= value.value <= value.interval[1]
        assert value.value == np.median(found.samples[value.label])
        assert value.unit == ("" if value.name == "ratio" else "ms")


def test_ratios_are_of_neighbours_in_time() -> None:
    samples = backend_speed.measure(Subject(backend="sps", weights="none"), SMALL).samples
    for stage in (1, 2, 3):
        ours, dense = (samples[f"stage{stage}_conv_{name}"] for name in ("ms", "dense_ms"))
        assert samples[f"stage{stage}_conv_ratio"] == pytest.approx(ours / dense)
