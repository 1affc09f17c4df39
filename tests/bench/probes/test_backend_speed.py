"""Latencies of a backend beside those of Dense: one median, quartiles and samples for each operation it can do."""

import numpy as np
import pytest

from bench.contract import Context, Probe
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
    operations = {value.split("_")[1] for value in found.values}
    assert operations == {"linear", "conv", "sfm", "deform", "subdivide", "halve"} - cannot
    assert found.values.keys() == found.units.keys() == found.intervals.keys() == found.samples.keys()
    for value, (low, high) in found.intervals.items():
        assert 0 < low <= found.values[value] <= high
        assert found.values[value] == np.median(found.samples[value])
        assert found.units[value] == ("" if value.endswith("_ratio") else "ms")


def test_ratios_are_of_neighbours_in_time() -> None:
    samples = backend_speed.measure(Subject(backend="sps", weights="none"), SMALL).samples
    for stage in (1, 2, 3):
        ours, dense = (samples[f"stage{stage}_conv_{name}"] for name in ("ms", "dense_ms"))
        assert samples[f"stage{stage}_conv_ratio"] == pytest.approx(ours / dense)
