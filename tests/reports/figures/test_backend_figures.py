"""Figures of the backends: what they store, and where they cross Dense."""

from bench.record import Subject
from bench.store import Store
from reports.figures.break_even import break_even
from reports.figures.storage import storage
from reports.select.measured import measured
from reports.tables import backends
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


def stored(total: float) -> dict[str, float]:
    values: dict[str, float] = {}
    for stage in (1, 2, 3):
        start = f"stage{stage}"
        values |= {f"{start}_bytes": total * stage, f"{start}_bytes_index": 1e6, f"{start}_active_fraction": 1 / stage}
        values[f"{start}_bytes_dense"] = 8e6 * stage
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


def test_a_bar_for_every_storage(store: Store) -> None:
    assert storage([]) is None
    add(store, backend("dense"), "backend_cost", stored(8e6))
    add(store, backend("sps"), "backend_cost", stored(3e6))
    add(store, backend("sps", "native"), "backend_cost", stored(3e6))
    figure = storage(measured(store))
    assert figure is not None
    shown = texts(figure)
    assert shown.count("SPS") == 1, "kernels of a backend store the same"
    assert [shown.count(text) for text in ("8.0", "16.0", "24.0", "3.0", "9.0")] == [1, 1, 1, 1, 1]
    assert "Stage 2, 50.0 % active" in shown


def test_one_choice_for_table_and_figure(store: Store) -> None:
    """Of two precisions, that of the newest record; both say what is left out."""
    add(store, backend("dense"), "backend_cost", stored(8e6), protocol={"dtype": "bfloat16"})
    add(store, backend("sps"), "backend_cost", stored(2e6), protocol={"dtype": "bfloat16"})
    add(store, backend("sps"), "backend_cost", stored(3e6), protocol={"dtype": "float32"}, second=1)
    figure = storage(measured(store))
    _, table = backends.tables(measured(store))
    assert figure is not None
    assert {"SPS", "Dense"} & set(texts(figure)) == {"SPS"} == {row[1] for row in table.texts()}
    assert "3.0" in texts(figure)
    said = "Left out of backend_cost, because measured otherwise than the newest: Dense (dtype)."
    assert said in figure.caption
    assert said in table.caption


def test_sweeps_say_what_is_left_out(store: Store) -> None:
    add(store, backend("neighbors"), "break_even", swept({1: 0.1}, None), protocol={"dtype": "bfloat16"}, second=1)
    add(store, backend("sps"), "break_even", swept({1: 0.1}, None), protocol={"dtype": "float32"}, second=2)
    figure = break_even(measured(store))
    assert figure is not None
    assert "Neighbors" not in texts(figure)
    said = "Left out of break_even, because measured otherwise than the newest: Neighbors (dtype)."
    assert figure.caption[-1] == said
