"""Recipes: the rows of the paper's tables, filtered, expanded and given weights."""

import hashlib
from pathlib import Path

import pytest

from bench import catalog
from bench.planning import recipes
from bench.planning.narrow import select
from bench.planning.plan import Cell


def subjects(cells: list[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.subject.name for cell in cells))


@pytest.mark.parametrize(("name", "num_subjects", "num_random"), [("main", 12, 8), ("modules", 5, 5)])
def test_subjects(name: str, num_subjects: int, num_random: int) -> None:
    cells = recipes.load(name)
    assert len(subjects(cells)) == num_subjects
    assert {cell.recipe for cell in cells} == {name}
    random = recipes.with_weights(cells, None)
    assert len(subjects(random)) == num_random
    assert {(cell.subject.schedule, cell.subject.weights) for cell in random} == {("none", "random")}
    assert len(set(random)) == len(random)


@pytest.mark.parametrize("name", ["heads", "overfit"])
def test_what_needs_no_weights_takes_every_head(name: str) -> None:
    found = list(dict.fromkeys(cell.subject.head for cell in recipes.load(name)))
    assert tuple(found[:4]) == recipes.HEADS
    assert sorted(map(str, found)) == sorted(catalog.names("heads"))


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_names_exist(name: str) -> None:
    for cell in recipes.load(name):
        if cell.subject.weights != "none":
            assert cell.subject.head in catalog.names("heads")
            assert cell.subject.backbone in catalog.BACKBONES
        assert cell.subject.module is None or cell.subject.module in catalog.names("heads._modules")
        assert cell.subject.backend is None or cell.subject.backend in catalog.names("sparsity")
        assert cell.probe in catalog.names("bench.probes")


def test_what_has_no_weights_stays_as_it_is(tmp_path: Path) -> None:
    oracle = recipes.load("oracle")
    ladder = [cell for cell in oracle if cell.probe == "ceiling"]
    assert len(ladder) == 10
    chosen = select(oracle, heads=["effseg"])
    assert chosen[:10] == ladder
    assert {cell.subject.head for cell in chosen[10:]} == {"effseg"}
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"weights")
    for filled in (recipes.with_weights(chosen, None), recipes.with_weights(chosen, file)):
        assert filled[:10] == ladder
        assert len({cell.subject.weights for cell in filled[10:]} - {"none"}) == 1


def test_every_backend_is_certified_once() -> None:
    certified = [cell.subject for cell in recipes.load("certify")]
    assert {subject.backend for subject in certified} == set(catalog.names("sparsity"))
    assert len(set(certified)) == len(certified)
    assert len(select(recipes.load("certify"), backends=["sps"])) == 1


def test_recipe_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ablation_recipes.py").write_text(
        "from bench.planning.recipes import cells, subject\n"
        "def mine():\n"
        "    return cells('mine', [subject('effseg', module='mlp')], ('params',))\n"
        "def wrong():\n"
        "    return ['effseg']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert [str(cell) for cell in recipes.load("ablation_recipes:mine")] == [
        "mine/effseg-sps-mlp-r50_fpn-paper-12ep-seed0/params"
    ]
    for name, message in [
        ("ablation_recipes:wrong", "did not return cells"),
        ("ablation_recipes:none", "cannot be imported"),
        ("no_such_module:mine", "cannot be imported"),
        ("moduls", "Did you mean 'modules'"),
    ]:
        with pytest.raises(ValueError, match=message):
            recipes.load(name)


def test_weights_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"weights")
    one = select(recipes.load("heads"), heads=["effseg"])
    for cell in recipes.with_weights(one, file):
        assert cell.subject.weights == f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
        assert cell.subject.schedule == "12ep"
    with pytest.raises(ValueError, match=r"cannot fit \d+ subjects: bmask"):
        recipes.with_weights(recipes.load("heads"), file)
    with pytest.raises(ValueError, match="There is no file"):
        recipes.with_weights(one, tmp_path / "nothing")
