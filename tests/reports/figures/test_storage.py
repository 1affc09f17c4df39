"""The figure of what backends store."""

from bench.record import Subject
from bench.store import Store
from reports.figures.storage import storage
from reports.select.measured import measured
from reports.tables import backends
from tests.reports.figures.drawn import texts
from tests.reports.stores import add


def backend(name: str, kernel: str | None = None) -> Subject:
    return Subject(backend=name, kernel=kernel, weights="none")


def stored(total: float) -> dict[str, float]:
    values: dict[str, float] = {}
    for stage in (1, 2, 3):
        start = f"stage{stage}"
        values |= {f"{start}_bytes": total * stage, f"{start}_bytes_index": 1e6, f"{start}_active_fraction": 1 / stage}
        values[f"{start}_bytes_dense"] = 8e6 * stage
    return values


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
