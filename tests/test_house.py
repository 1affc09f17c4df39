"""Rules of the house that no other tool checks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sparsity", "heads", "bench", "reports", "benchmarks", "tests")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "more than 400 lines are two ideas: split the file"
    assert text.isascii(), "code and comments are ASCII"


ROOMS = ("accuracy", "backends", "cli", "detector", "glyphs", "model", "rulers", "training")
MIRRORED = ("heads", "sparsity", *(f"bench/{room}" for room in ROOMS))
"""Folders whose tests are checked for their place. Tests across modules lie in tests/whole."""


@pytest.mark.parametrize("folder", MIRRORED)
def test_a_test_stands_where_its_module_does(folder: str) -> None:
    """`tests/bench/cli/test_run.py` is of `bench/cli/run.py`, and `test_cli.py` beside it of the folder as a whole."""
    tests = sorted((ROOT / "tests" / folder).rglob("test_*.py"))
    assert tests
    for test in tests:
        mirrored = ROOT / test.parent.relative_to(ROOT / "tests")
        modules = {path.stem.removeprefix("_") for path in mirrored.glob("*") if path.is_dir() or path.suffix == ".py"}
        name = test.stem.removeprefix("test_")
        assert name in modules | {mirrored.name.removeprefix("_")}, (
            f"{test.relative_to(ROOT)}: there is no {name} in {mirrored.relative_to(ROOT)}; a test of several modules "
            f"is test_{mirrored.name}.py or lies in tests/whole"
        )


REGISTRIES = ("sparsity", "sparsity/_kernels", "heads", "heads/_modules", "bench/probes")


def imported(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports: modules, and what it takes from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)


@pytest.mark.parametrize("folder", REGISTRIES)
def test_plug_ins_do_not_import_each_other(folder: str) -> None:
    plug_ins = [path for path in (ROOT / folder).iterdir() if not path.name.startswith(("_", "."))]
    plug_ins = [path for path in plug_ins if path.is_dir() or path.suffix == ".py"]
    names = {f"{folder.replace('/', '.')}.{path.stem}" for path in plug_ins}
    assert len(names) > 3
    for path in plug_ins:
        own = f"{folder.replace('/', '.')}.{path.stem}"
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            found = {name for name in names - {own} for each in imported(file) if f"{each}.".startswith(f"{name}.")}
            assert not found, f"{file.relative_to(ROOT)} imports {found}; what plug-ins share has a private module"
