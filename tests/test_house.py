"""Rules of the house that no other tool checks."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).parents[1]
PACKAGES = ("sparsity", "heads", "bench", "reports", "benchmarks", "tests")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "more than 400 lines are two ideas: split the file"
    assert text.isascii(), "code and comments are ASCII"


@pytest.mark.parametrize("folder", ["heads", "sparsity", "bench", "reports"])
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


def test_files_that_come_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []


REGISTRIES = ("sparsity", "sparsity/_kernels", "heads", "heads/_modules", "bench/probes")


def imported(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports: modules, and what it takes from them."""
    yield from imported_by(path.read_text(encoding="utf-8"))


def imported_by(code: str) -> Iterator[str]:
    """The same of code."""
    for node in ast.walk(ast.parse(code)):
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


FACES = ("sparsity", "heads", "bench", "reports")
"""Packages whose files with an underscore are private to them."""

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def private(names: Iterator[str], importer: str) -> set[str]:
    """What of these names is private to another package than that of the importer."""
    return {
        name
        for name in names
        if name.partition(".")[0] in set(FACES) - {importer} and re.search(r"\._(?!_)", name) is not None
    }


PACKAGED = [path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"]


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_private_is_not_imported_from_outside(path: Path) -> None:
    assert not private(imported(path), path.relative_to(ROOT).parts[0]), "hand it out in its __init__.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_documentation_teaches_public_names(page: Path) -> None:
    for statement in imports_of(page.read_text(encoding="utf-8")):
        assert not private(imported_by(statement), "docs"), statement


def imports_of(page: str) -> list[str]:
    """Every import in the code of a page, fenced or indented."""
    found = re.findall(r"^ *(?:from [\w.]+ import (?:\([^)]*\)|[\w, ]+)|import [\w., ]+)(?=$| +#)", page, re.MULTILINE)
    return [textwrap.dedent(statement).strip() for statement in found]


def test_the_imports_of_a_page_are_found() -> None:
    page = "Text.\n\n    from heads import (\n        one,\n    )\n\n```python\nimport heads._blocks\n```\n"
    assert [name for code in imports_of(page) for name in imported_by(code)] == ["heads.one", "heads._blocks"]
    assert private(iter(["heads._blocks", "heads.one", "bench._two", "heads.__path__"]), "bench") == {"heads._blocks"}


@pytest.mark.parametrize("folder", ["sparsity", "heads", "heads/_modules"])
def test_plug_ins_live_on_what_is_handed_out(folder: str) -> None:
    """What they need, a contributor's file may need: these files are its examples."""
    package = folder.partition("/")[0]
    for path in (ROOT / folder).glob("[!_]*.py"):
        # The kernels belong to sps.
        names = (name for name in imported(path) if not (path.stem == "sps" and name.startswith("sparsity._kernels.")))
        # A long plug-in has a private file of its own name beside it.
        names = (name for name in names if not name.startswith(f"{folder.replace('/', '.')}._{path.stem}."))
        found = private(names, "a contributor")
        assert not found, f"{path.relative_to(ROOT)} imports {found}; hand it out in {package}/__init__.py"
