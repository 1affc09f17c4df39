"""What all tests of figures share."""

from pathlib import Path

import pytest

from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")
