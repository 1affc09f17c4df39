import textwrap
from pathlib import Path

import pytest
import torch

import sparsity
from sparsity import Grid, Unsupported, backend, names, plugin


def test_the_folder_is_the_registry() -> None:
    found = names("sparsity")
    assert found == sorted(found)
    assert {"dense", "sps"} <= set(found)
    assert not [name for name in found if name.startswith("_")]
    for name in found:
        assert backend(name) is plugin("sparsity", name, "backend").Backend


@pytest.mark.parametrize(("typo", "meant"), [("spss", "sps"), ("SPS", "sps"), ("dens", "dense")])
def test_a_typo_is_answered_with_the_closest_name_and_the_list(typo: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"There is no backend named '{typo}'. Did you mean '{meant}'") as error:
        backend(typo)
    assert ", ".join(names("sparsity")) in str(error.value)


@pytest.mark.parametrize("name", ["zzz", "_ops", "", "sparsity.sps"])
def test_what_is_not_a_public_module_is_not_a_plugin(name: str) -> None:
    with pytest.raises(ValueError, match="There is no head named"):
        plugin("sparsity", name, "head")


def test_a_file_without_a_backend_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "classless.py").write_text("class Grid:\n    pass\n", encoding="utf-8")
    monkeypatch.setattr(sparsity, "__path__", [*sparsity.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="backend 'classless' has no class `Backend`"):
        backend("classless")


def test_catching_unsupported_does_not_need_its_name() -> None:
    assert issubclass(Unsupported, NotImplementedError)


def test_the_example_of_the_documentation_is_a_backend_once_dropped_into_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "add-a-backend.md").read_text(encoding="utf-8")
    section = page.partition("## A backend in one file\n")[2].partition("\nWhat backends share")[0]
    (tmp_path / "tap_by_tap.py").write_text(textwrap.dedent(section), encoding="utf-8")
    monkeypatch.setattr(sparsity, "__path__", [*sparsity.__path__, str(tmp_path)])
    assert "tap_by_tap" in names("sparsity")

    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(shape, generator=generator) for shape in ((2, 3, 4, 4), (20, 3), (5, 3, 3, 3), (5,))]
    results = []
    for name in ("tap_by_tap", "dense"):
        grid = backend(name).dense(parts[0]).subdivide(torch.arange(0, 30, 6), parts[1])
        assert isinstance(grid, Grid)
        sparsity.check(grid)
        results.append(sparsity.conv2d(grid, parts[2], parts[3], 3))
    torch.testing.assert_close(*results)
