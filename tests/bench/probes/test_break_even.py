"""Break-even points: sweeps hit their fractions, Dense is Dense in both layouts, exact crossings are exact."""

import math

import numpy as np
import pytest
import torch

from bench.backends.dense_layouts import LAYOUTS, dense_in_layouts
from bench.backends.stages import draw_activity, operations_in, stage_grids, weights_like
from bench.contract import Context, Probe
from bench.probes import break_even
from bench.record import Subject
from sparsity import backend

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
    values = found.values
    assert values.keys() == found.units.keys()
    assert found.intervals.keys() <= values.keys()
    for stage in (1, 2, 3):
        for percent in (2, 30, 100):
            point = f"stage{stage}_fraction{percent}"
            assert values[f"{point}_active_fraction"] == pytest.approx(percent / 100, abs=0.005)
            share = values[f"{point}_macs"] / values[f"{point}_dense_macs"]
            assert share == pytest.approx(values[f"{point}_active_fraction"])
            low, high = found.intervals[f"{point}_ratio"]
            assert low <= values[f"{point}_ratio"] <= high
        # Equal where all is active, fewer everywhere else.
        assert values[f"stage{stage}_fraction_macs_crossings"] == 1
        assert values[f"stage{stage}_fraction_macs_crossing"] == pytest.approx(100)
        bytes_crossing = values[f"stage{stage}_fraction_bytes_crossing"]
        assert bytes_crossing == pytest.approx(100) if name == "pointwise" else 30 < bytes_crossing < 100
        assert (f"stage{stage}_fraction_time_crossing" in values) == (
            values[f"stage{stage}_fraction_time_crossings"] > 0
        )
    # 100 refined cells in one or two regions of 14 x 14.
    assert values["stage1_regions1_active_fraction"] == 400 / 28**2
    assert values["stage1_regions2_active_fraction"] == 200 / 28**2
    assert found.units["stage1_fraction_macs_crossing"] == "%"
    convolved = {value.split("_")[0] for value in values if "_conv_fraction" in value}
    assert convolved == ({"stage2"} if name == "sps" else set())
    if name == "sps":
        # The SFM has three branches of convolutions.
        assert 3 * values["stage2_conv_fraction30_macs"] == values["stage2_fraction30_macs"]
        assert found.units["stage2_conv_fraction_macs_crossing"] == "%"


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
    found = {name: (value, interval) for name, value, interval in break_even._crossings(sweep, pairs, 0)}
    value, interval = found["stage1_fraction_time_crossing"]
    assert value == pytest.approx(50)
    assert interval == pytest.approx((50, 50))
    assert found["stage1_fraction_bytes_crossings"] == (0, None)
    assert "stage1_fraction_bytes_crossing" not in found


def test_protocol_says_the_sizes() -> None:
    subject = Subject(backend="sps", weights="none")
    assert break_even.protocol(subject, Context())["fractions_regions"] == "32/12/6"
    assert break_even.protocol(subject, SMALL)["fractions_regions"] == "1/1/1"
    assert break_even.protocol(subject, SMALL)["region_counts_budget"] == 100
