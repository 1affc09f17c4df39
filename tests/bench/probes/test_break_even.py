"""Break-even points: sweeps hit their fractions, Dense is Dense in both layouts, exact crossings are exact."""

import math

import numpy as np
import pytest
import torch

from bench.backends.dense_layouts import LAYOUTS, dense_in_layouts
from bench.backends.stages import draw_activity, operations_in, stage_grids, weights_like
from bench.contract import Context, Measurement, Probe
from bench.names import STAGES
from bench.probes import break_even
from bench.record import Subject
from sparsity import backend
from tests.bench.found import numbers_at, rows_at

SMALL = Context(regions=1, budget=100)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(break_even, "PERCENTS", (2, 30, 100))
    monkeypatch.setattr(break_even, "REGION_COUNTS", (1, 2))
    monkeypatch.setattr(break_even, "REPETITIONS", 3)


@pytest.mark.parametrize("operation", ["linear", "conv", "sfm"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_dense_rival_computes_the_same(operation: str, layout: str) -> None:
    """Both layouts give the active rows that the backends give."""
    made = draw_activity(2, 30, SMALL, stages=1)
    grid, sparse = (stage_grids(backend(name), made, SMALL)[-1] for name in ("dense", "sps"))
    weights = weights_like(grid.active, SMALL)
    result = operations_in(sparse, weights)[operation]()
    expected = result if isinstance(result, torch.Tensor) else result.active
    torch.testing.assert_close(dense_in_layouts(grid, weights, operation)[layout](), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "operation"), [("pointwise", "linear"), ("neighbors", "conv"), ("sps", "sfm")])
def test_hardest_operation(name: str, operation: str) -> None:
    assert break_even.hardest(backend(name), SMALL) == operation


def test_one_slow_pass_does_not_choose_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The medians of the trials decide, although the first pass of the faster layout is the slowest of all."""
    found = {"channels_last": torch.tensor([90.0, 1.0, 1.0]).numpy(), "nchw": torch.tensor([2.0, 2.0, 2.0]).numpy()}

    def alternate(
        rivals: dict[str, object], device: str, *, repetitions: int, limit_s: float
    ) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
        if rivals.keys() != found.keys():
            return dict.fromkeys(rivals, np.ones(3, dtype=np.float32))
        return {name: times[:repetitions] for name, times in found.items()}

    monkeypatch.setattr(break_even, "alternate", alternate)
    point = break_even._fraction_sweep(1, SMALL)[4]
    assert break_even.measure_point(backend("sps"), "conv", point, SMALL).dense_layout == "channels_last"


def test_linear_writes_nothing_back() -> None:
    made = draw_activity(2, 30, SMALL, stages=1)
    grid = stage_grids(backend("pointwise"), made, SMALL)[-1]
    weights = weights_like(grid.active, SMALL)
    rows = break_even._at_active_cells(grid, weights, "linear")()
    assert isinstance(rows, torch.Tensor)
    head = operations_in(grid, weights)["linear"]()
    assert not isinstance(head, torch.Tensor)
    torch.testing.assert_close(rows, head.active)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", ["sps", "pointwise"])
def test_measure(name: str) -> None:
    assert isinstance(break_even, Probe)
    found = break_even.measure(Subject(backend=name, weights="none"), SMALL)
    for stage in STAGES:
        for percent in (2, 30, 100):
            point = rows_at(found, stage=stage, sweep="fraction", place=percent)
            active_fraction = point["active_fraction"].value
            assert active_fraction == pytest.approx(percent / 100, abs=0.005)
            assert point["macs"].value / point["dense_macs"].value == pytest.approx(active_fraction)
            ratio = point["ratio"].interval
            assert ratio is not None
            assert ratio[0] <= point["ratio"].value <= ratio[1]
            assert point["ratio"].value == np.median(found.samples[f"stage{stage}_fraction{percent}_ratio"])
        # Equal where all is active, fewer everywhere else.
        macs, stored, time = (
            rows_at(found, stage=stage, sweep="fraction", cost=cost) for cost in ("macs", "bytes", "time")
        )
        assert macs["crossings"].value == 1
        assert macs["crossing"].value == pytest.approx(100)
        bytes_crossing = stored["crossing"].value
        assert bytes_crossing == pytest.approx(100) if name == "pointwise" else 30 < bytes_crossing < 100
        assert ("crossing" in time) == (time["crossings"].value > 0)
        assert (macs["crossing"].unit, macs["crossings"].unit) == ("%", "")
    # 100 refined cells in one or two regions of 14 x 14.
    assert numbers_at(found, stage=1, sweep="regions", place=1)["active_fraction"] == 400 / 28**2
    assert numbers_at(found, stage=1, sweep="regions", place=2)["active_fraction"] == 200 / 28**2
    convolved = {value.at["stage"] for value in found.values if value.at.get("sweep") == "conv_fraction"}
    assert convolved == ({2} if name == "sps" else set())
    assert numbers_at(found, operation="sfm" if name == "sps" else "linear") == {"operation_is": 1}
    if name == "sps":
        # The SFM has three branches of convolutions.
        one, three = (
            numbers_at(found, stage=2, sweep=sweep, place=30)["macs"] for sweep in ("conv_fraction", "fraction")
        )
        assert 3 * one == three
        assert rows_at(found, stage=2, sweep="conv_fraction", cost="macs")["crossing"].unit == "%"


def test_crossings_of_known_costs() -> None:
    """A backend twice as slow per active cell as Dense per cell breaks even at half of the cells."""
    sweep = break_even._fraction_sweep(1, SMALL)
    pairs = []
    for point in sweep:
        ours = torch.full((5,), 2.0 * point.place).numpy()
        pairs.append(
            break_even.Pair(
                ours_ms=ours,
                dense_ms=torch.full((5,), 100.0).numpy(),
                dense_layout="nchw",
                macs=(point.place, 100),
                bytes=(50 + point.place, 40),
                active_fraction=point.place / 100,
            )
        )
    assert pairs[0].log_ratios("time") == pytest.approx(math.log(0.02))
    assert pairs[0].log_ratios("macs") == pytest.approx(math.log(0.01))
    found = Measurement(values=tuple(break_even._crossings(sweep, pairs, 0)))
    crossing = rows_at(found, stage=1, sweep="fraction", cost="time")["crossing"]
    assert crossing.value == pytest.approx(50)
    assert crossing.interval == pytest.approx((50, 50))
    assert rows_at(found, stage=1, sweep="fraction", cost="macs")["crossing"].interval is None
    assert numbers_at(found, stage=1, sweep="fraction", cost="bytes") == {"crossings": 0}


def test_crossings_over_regions_are_in_regions() -> None:
    """Few regions are nearly all active: from the many on, Dense gets cheaper below a number of them."""
    sweep = break_even._regions_sweep(1, SMALL)
    costs = {5: 3.0, 10: 2.0, 25: 0.5, 50: 0.2, 100: 0.1}
    pairs = [
        break_even.Pair(
            ours_ms=np.full(3, costs[point.place]),
            dense_ms=np.ones(3),
            dense_layout="nchw",
            macs=(1, 2),
            bytes=(1, 2),
            active_fraction=0.5,
        )
        for point in sweep
    ]
    found = Measurement(values=tuple(break_even._crossings(sweep, pairs, 0)))
    crossing = rows_at(found, stage=1, sweep="regions", cost="time")["crossing"]
    assert 10 < crossing.value < 25
    assert crossing.unit == "regions"


def test_protocol_says_the_sizes() -> None:
    subject = Subject(backend="sps", weights="none")
    assert break_even.protocol(subject, Context())["fractions_regions"] == "32/12/6"
    assert break_even.protocol(subject, SMALL)["fractions_regions"] == "1/1/1"
    assert break_even.protocol(subject, SMALL)["region_counts_budget"] == 100
