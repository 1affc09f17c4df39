"""Shared by all tests: threads, their order, run-time types, and where the real test data is."""

import os
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import settings

# Tests run side by side and their tensors are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)

# A test never asserts a time, and a busy machine must not fail one.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


# What takes a quarter of a minute or more, before all else: one of two workers must not end with it alone.
LONGEST = (
    "tests/sparsity/_kernels/native/test_native.py",
    "tests/whole/test_checkpoint_goldens.py",
    "tests/whole/test_contract_of_heads.py",
    "tests/bench/model/test_segmenter.py",
    "tests/bench/training/test_loop.py",
    "tests/bench/probes/test_probes.py",
    "tests/bench/probes/test_flops.py",
    "tests/bench/test_ranks.py",
    "tests/bench/training/test_job.py",
    "tests/bench/backends/test_certificate.py",
    "tests/whole/test_page_in_a_browser.py",
    "tests/docs/test_notebook.py",
    "tests/docs/test_add_a_head.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Let xdist hand out files in the order of collection; its own is by the number of tests, the single ones last."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run-time types: in thousands of small calls they take longer than all else, and find it in the first ones."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


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
