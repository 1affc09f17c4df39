"""What is installed: a wheel holds the C sources, weights, tables and templates beside the code."""

import zipfile
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).parents[1]
PACKAGES = ("sparsity", "heads", "bench", "reports")


def test_a_wheel_has_every_file_of_the_packages(tmp_path: Path) -> None:
    """Also what git would ignore, which hatchling leaves out."""
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling, which builds the wheel, is not there")
    (path,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        installed = {name for name in archive.namelist() if name.startswith(PACKAGES)}
    there = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {Path(name).suffix for name in there} >= {".py", ".c", ".h", ".j2", ".safetensors", ".json"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= there, "type checkers read the packages' annotations"
    assert installed == there
    assert path.endswith(f"/finegrained_bench-{bench.__version__}-py3-none-any.whl")
