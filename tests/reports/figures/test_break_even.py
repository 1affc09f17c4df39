"""The figure of the sweeps: where methods cross Dense."""

from bench.record import Subject
from bench.store import Store
from reports.figures.break_even import break_even
from reports.select.measured import measured
from tests.reports.figures.drawn import texts
from tests.reports.stores import add


def backend(name: str, kernel: str | None = None) -> Subject:
    return Subject(backend=name, kernel=kernel, weights="none")


def swept(ratios: dict[int, float], crossing: float | None) -> dict[str, float]:
    """The values of a sweep in which bytes are half of Dense's everywhere."""
    values: dict[str, float] = {}
    for stage in (1, 2, 3):
        for percent, ratio in ratios.items():
            start = f"stage{stage}_fraction{percent}"
            values |= {f"{start}_ratio": ratio, f"{start}_bytes": 1.0, f"{start}_dense_bytes": 2.0}
        if crossing is not None:
            values[f"stage{stage}_fraction_time_crossing"] = crossing
    return values


def test_crossings_are_said_and_every_kernel_has_a_line(store: Store) -> None:
    add(store, backend("neighbors"), "break_even", swept({1: 0.1, 100: 2.0}, 37.0))
    add(store, backend("sps"), "break_even", swept({1: 0.1, 100: 0.9}, None))
    add(store, backend("sps", "reference"), "break_even", swept({1: 0.2, 100: 3.0}, 12.5))
    figure = break_even(measured(store))
    assert figure is not None
    for sentence in ("Neighbors, stage 1: crosses at 37 %", "SPS, stage 3: no crossing", "crosses at 12.5 %"):
        assert sentence in figure.svg
    assert {"Neighbors", "SPS", "SPS:reference", "Stage 3"} <= set(texts(figure))


def test_no_sweep_is_no_figure(store: Store) -> None:
    assert break_even([]) is None
    add(store, backend("sps"), "break_even", {"stage1_regions5_ratio": 0.5})
    assert break_even(measured(store)) is None


def test_sweeps_say_what_is_left_out(store: Store) -> None:
    add(store, backend("neighbors"), "break_even", swept({1: 0.1}, None), protocol={"dtype": "bfloat16"}, second=1)
    add(store, backend("sps"), "break_even", swept({1: 0.1}, None), protocol={"dtype": "float32"}, second=2)
    figure = break_even(measured(store))
    assert figure is not None
    assert "Neighbors" not in texts(figure)
    said = "Left out of break_even, because measured otherwise than the newest: Neighbors (dtype)."
    assert figure.caption[-1] == said
