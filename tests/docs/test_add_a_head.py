"""The head that docs/add-a-head.md shows: it passes the contract of heads, and its recipe measures it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "add-a-head.md").read_text(), re.DOTALL | re.MULTILINE)

PLUGIN = """
def pytest_sessionstart():  # after jaxtyping's hook is in place, which checks this head's annotations too
    import heads
    heads.__path__.append({folder!r})
"""

RECIPE = """
import heads, sys
heads.__path__.append({folder!r})
import bench
records = bench.run("my_recipes:mine", results={results!r}, selection=bench.Selection(probes=["params"]))
print([record.subject.head for record in records], records[0].get("params_head").value)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page; a head may lie in another folder as well, as long as the package looks there."""
    head, recipe = BLOCKS
    (tmp_path / "plug_ins").mkdir()
    (tmp_path / "plug_ins" / "my_head.py").write_text(head)
    (tmp_path / "my_recipes.py").write_text(recipe)
    (tmp_path / "with_my_head.py").write_text(PLUGIN.format(folder=str(tmp_path / "plug_ins")))
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_it_is_short() -> None:
    assert BLOCKS[0].count("\n") <= 70


def test_it_passes_the_contract(folder: Path) -> None:
    done = python(
        folder, "-m", "pytest", "-q", "-p", "with_my_head", "-p", "no:cacheprovider", "-p", "no:xdist",
        *map(str, sorted(ROOT.glob("tests/whole/test_*_of_heads.py"))), "-k", "my_head",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= 11


def test_its_recipe_measures_it(folder: Path) -> None:
    done = python(folder, "-c", RECIPE.format(folder=str(folder / "plug_ins"), results=str(folder / "results")))
    assert done.returncode == 0, done.stderr
    weights = 256 * 256 * 9 + 256
    assert done.stdout.strip() == f"['my_head', 'effseg'] {4 * weights + 256 * 256 + 256}"
