"""A head, processing module or backend is its file: without any one all others work, and what names it says so."""

import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from bench import catalog
from bench.cli.listing import List
from bench.model.build import build
from bench.planning import recipes
from bench.planning.narrow import select
from bench.planning.plan import Cell
from bench.probes import flops
from reports.choice import all_tables
from reports.select.measured import measured
from sparsity import names
from tests.reports.embedded_records import demo_records, keep
from tests.test_house import PACKAGED, ROOT, imported
from tests.whole.test_contract_of_heads import variants

PACKAGES = {"head": "heads", "module": "heads._modules", "backend": "sparsity"}
PLUG_INS = [(kind, name) for kind, package in PACKAGES.items() for name in names(package)]

TakeAway = Callable[[str, str], None]


@pytest.fixture
def take_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TakeAway]:
    """Takes away the file of a plug-in, and the private one of a long head: its package then lies in a copy."""
    before = {package: list(sys.modules[package].__path__) for package in PACKAGES.values()}

    def taken(kind: str, name: str) -> None:
        top, *below = PACKAGES[kind].split(".")
        copy = tmp_path / top
        if not copy.is_dir():
            shutil.copytree(before[top][0], copy, ignore=shutil.ignore_patterns("__pycache__"))
        copy.joinpath(*below, f"{name}.py").unlink()
        copy.joinpath(*below, f"_{name}.py").unlink(missing_ok=True)
        for package in {top, PACKAGES[kind]}:
            sys.modules[package].__path__[:] = [str(tmp_path.joinpath(*package.split(".")))]
        monkeypatch.delitem(sys.modules, f"{PACKAGES[kind]}.{name}", raising=False)

    yield taken
    for package, path in before.items():
        sys.modules[package].__path__[:] = path


@cache
def complete() -> dict[str, list[Cell]]:
    """The cells of every recipe while nothing is taken away."""
    return {recipe: recipes.load(recipe) for recipe in recipes.RECIPES}


def needs(cell: Cell, kind: str, name: str) -> bool:
    return getattr(cell.subject, kind) == name and (kind != "head" or cell.subject.weights != "none")


@pytest.mark.parametrize(("kind", "name"), PLUG_INS)
def test_everything_else_works(kind: str, name: str, take_away: TakeAway, caplog: pytest.LogCaptureFixture) -> None:
    before = complete()
    take_away(kind, name)
    assert name not in catalog.names(PACKAGES[kind])
    assert not any(name == head or name in choices.values() for head, choices in variants())
    for recipe, cells in before.items():
        caplog.clear()
        found = recipes.load(recipe)
        # What is the same with every head is measured with another one.
        assert {cell for cell in cells if not needs(cell, kind, name)} <= set(found)
        assert {cell.probe for cell in set(found) - set(cells)} <= {"box_accuracy"}
        assert not any(needs(cell, kind, name) for cell in found)
        might_be = any(needs(cell, kind, name) for cell in cells)
        is_named = might_be and any(needs(cell, kind, name) for cell in recipes.RECIPES[recipe]())
        assert (f"The recipe {recipe} leaves out " in caplog.text) is is_named
        assert (f"there is no {kind} {name}." in caplog.text) is is_named


def test_costs_are_counted_without_the_head_that_lends_its_name(take_away: TakeAway) -> None:
    take_away("head", "mask_rcnn")
    small = recipes.subject("query_dot", backbone="small_fpn", preset="small")
    with torch.device("meta"):
        build(flops._any_head(small))


def test_what_is_named_and_was_taken_away_is_told(take_away: TakeAway, capsys: pytest.CaptureFixture[str]) -> None:
    take_away("head", "effseg")
    with pytest.raises(ValueError, match=r"There is no head named 'effseg'\. .*Known: bmask, "):
        select(recipes.load("main"), heads=["effseg"])
    with pytest.raises(ValueError, match=r"No cell of the recipe is left\."):
        select(recipes.load("modules"))
    List(kind="recipes")()
    assert "effseg-" not in capsys.readouterr().out


def test_records_of_heads_that_were_taken_away_are_reported(take_away: TakeAway, tmp_path: Path) -> None:
    for head in names("heads"):
        take_away("head", head)
    assert not catalog.plugins("heads")
    tables = all_tables(measured(list(keep(tmp_path / "results", *demo_records()))))
    shown = {cell for table in tables for row in table.rows for cell in row if isinstance(cell, str)}
    assert {"Mask R-CNN++", "PointRend++", "RefineMask++", "EffSeg"} <= shown


# The kernels are those of SPS: what counts or times them is about it.
def test_no_other_file_imports_it() -> None:
    modules = [f"{PACKAGES[kind]}.{name}." for kind, name in PLUG_INS if (kind, name) != ("backend", "sps")]
    for path in PACKAGED:
        for each in imported(path):
            assert not f"{each}.".startswith(tuple(modules)), f"{path.relative_to(ROOT)} imports {each}"
