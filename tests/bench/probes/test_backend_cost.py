"""Table 2 by measurement: what backends can do, closed forms that equal what is counted and stored."""

import math
from itertools import product

import pytest
import torch

from bench.backends.activity import activity
from bench.backends.stages import draw_activity, stage_grids
from bench.backends.storage import FORMULAS, censuses
from bench.contract import Context, Measurement, Probe
from bench.names import STAGES
from bench.probes import backend_cost
from bench.record import Subject
from reports import paper
from sparsity import backend, names
from tests.bench.found import numbers_at, rows_at

BACKENDS = names("sparsity")
SMALL = Context(regions=5, budget=70)


def measured(name: str) -> Measurement:
    return backend_cost.measure(Subject(backend=name, weights="none"), SMALL)


def test_is_a_probe() -> None:
    assert isinstance(backend_cost, Probe)


@pytest.mark.parametrize("row", paper.TABLE2, ids=lambda row: row.backend)
def test_abilities_are_those_of_the_paper(row: paper.Abilities) -> None:
    found = {value.at["ability"]: value.value for value in measured(row.backend).values if value.name == "supports"}
    assert found["neighbors"] == found["conv"] == row.access_to_neighbors
    assert {found[name] for name in ("dilated", "5x5", "deformable", "bilinear")} == {row.supports_any_2d_operation}


@pytest.mark.parametrize("name", BACKENDS)
def test_counted_is_the_closed_form(name: str) -> None:
    found = measured(name)
    at_every_stage = list(product(STAGES, ("linear", "conv", "sfm")))
    counted = [at for at in at_every_stage if numbers_at(found, stage=at[0], operation=at[1])]
    assert counted
    for stage, operation in counted:
        cells = "all" if name == "dense" and operation != "linear" else "active"
        in_closed_form = rows_at(found, stage=stage, operation=operation, cells=cells)["macs"]
        assert numbers_at(found, stage=stage, operation=operation) == {"macs": in_closed_form.value}
        assert in_closed_form.unit == "MACs"


@pytest.mark.parametrize("name", sorted(set(BACKENDS) & FORMULAS.keys()))
def test_stored_is_the_closed_form(name: str) -> None:
    found = measured(name)
    for stage in STAGES:
        whole = rows_at(found, stage=stage)
        assert whole["bytes"].value == whole["bytes_formula"].value
        assert (whole["bytes"].unit, whole["cells_active"].unit) == ("bytes", "cells")
        parts = [value.value for value in found.values if "part" in value.at and value.at["stage"] == stage]
        assert len(parts) >= 2
        assert sum(parts) == whole["bytes"].value


def test_nine_rows_are_of_the_backend_that_could_be_read_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = numbers_at(measured("neighbors"), stage=1)
    assert found["bytes_nine_rows"] == 9 * 4 * 70 * 128 * 4 + 4 * 4 * 70
    assert "bytes_nine_rows" not in numbers_at(measured("sps"), stage=1)
    monkeypatch.setattr(backend("sps"), "copied_bytes", 1000, raising=False)
    assert numbers_at(measured("sps"), stage=1)["bytes_nine_rows"] == 1000 + 4 * 4 * 70


def test_census_agrees_with_sps_and_by_hand() -> None:
    made = activity(3, 40, torch.Generator().manual_seed(1))
    grids = stage_grids(backend("sps"), made, Context())[1:]
    for census, grid in zip(censuses(made), grids, strict=True):
        assert census.cells == math.prod(grid.size)
        assert census.active == len(grid.cells)
        assert census.passive == grid.num_passive
        assert 0 < census.passive_near < census.passive
    everything = activity(2, 10**6, torch.Generator(), stages=1, side=4)
    (census,) = censuses(everything)
    assert (census.cells, census.active, census.passive, census.passive_near) == (128, 128, 0, 0)


def test_paper_point_is_the_default() -> None:
    """The bytes that the design of SPS promises at EffSeg's operating point, in closed form: no features are made."""
    assert backend_cost.protocol(Subject(backend="sps"), Context())["budget"] == 10_000
    made = draw_activity(100, 10_000, Context())
    limits = {"sps": (26.0, 22.0, 19.3), "dense": (40.4, 80.5, 160.8), "neighbors": (25.5, 16.6, 10.5)}
    counts = list(censuses(made))
    for name, limit in limits.items():
        stored = [
            FORMULAS[name](census, 4 * features) / 1e6 for census, features in zip(counts, (128, 64, 32), strict=True)
        ]
        assert all(bytes_ <= most for bytes_, most in zip(stored, limit, strict=True)), (name, stored)
        assert all(bytes_ > 0.97 * most for bytes_, most in zip(stored, limit, strict=True)), (name, stored)


def test_protocol_says_what_the_values_depend_on() -> None:
    subject = Subject(backend="sps", weights="none")
    base = backend_cost.protocol(subject, SMALL)
    for other in (Context(regions=6, budget=70), Context(regions=5, budget=71), Context(regions=5, budget=70, seed=1)):
        assert backend_cost.protocol(subject, other) != base


@pytest.mark.parametrize(
    ("subject", "context", "message"),
    [
        (Subject(backend=None), SMALL, "has no backend"),
        (Subject(backend="spss"), SMALL, "no backend named"),
        (Subject(backend="sps"), Context(regions=0), "at least 1"),
        (Subject(backend="sps"), Context(budget=-1), "at least 1"),
    ],
)
def test_bad_input_is_explained(subject: Subject, context: Context, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backend_cost.measure(subject, context)
