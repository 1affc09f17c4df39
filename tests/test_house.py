"""Rules of the house that no other tool checks."""

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
