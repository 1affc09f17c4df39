"""Shared by all tests: threads, and where the real test data is."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Tests run side by side and their tensors are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)

# A test never asserts a time, and a busy machine must not fail one.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def coco_mini() -> Path:
    """The small real data set (COCO layout), or a skip that says what is missing."""
    root = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[1] / ".." / "shared"))
    directory = root / "data" / "coco_mini"
    if not directory.is_dir():
        pytest.skip(
            f"no real data: {directory} is not there; set BENCH_TEST_DATA to the folder that holds data/coco_mini"
        )
    return directory
