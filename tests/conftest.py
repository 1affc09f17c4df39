"""Shared by all tests: threads, and where the real test data is."""

import os
from pathlib import Path

import pytest
import torch

# Parallel test workers share the cores; more threads than cores would only make them wait for each other.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


@pytest.fixture(scope="session")
def coco_mini() -> Path:
    """The small real data set (COCO layout), or a skip that says what is missing."""
    root = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[1] / ".." / "shared"))
    directory = root / "data" / "coco_mini"
    if not directory.is_dir():
        pytest.skip(f"no real data: {directory} is not there; set BENCH_TEST_DATA to the folder that holds data/coco_mini")
    return directory
