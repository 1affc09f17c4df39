import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("triton", reason="triton is not installed: this torch was built without CUDA")

from sparsity._kernels.triton import tune as tune
from sparsity._kernels.triton.tune import Choices, Tiles

FAST, SLOW = (Tiles(cells=cells, outputs=32, features=32, num_warps=4, num_stages=2) for cells in (64, 128))


def forbidden(tiles: Tiles) -> float:
    raise AssertionError("nothing was to be measured")


def test_the_fastest_is_chosen_and_the_next_process_need_not_measure(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gpu.json"
    times = {FAST: 1.0, SLOW: 2.0}
    first = Choices(path)
    assert "key" not in first
    assert first.choose("key", [SLOW, FAST], times.__getitem__) == FAST
    assert first.choose("key", [SLOW, FAST], forbidden) == FAST
    assert "key" in Choices(path)
    assert Choices(path).choose("key", [SLOW, FAST], forbidden) == FAST
    assert [file.name for file in path.parent.iterdir()] == ["gpu.json"]


def test_two_processes_keep_each_others_choices(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    one, other = Choices(path), Choices(path)
    one.choose("one", [FAST], lambda tiles: 1.0)
    other.choose("other", [SLOW], lambda tiles: 1.0)
    assert Choices(path).choose("one", [], forbidden) == FAST
    assert Choices(path).choose("other", [], forbidden) == SLOW


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 3}', json.dumps({"key": {"cells": 1, "rows": 2}})])
def test_a_broken_file_is_measured_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gpu.json"
    path.write_text(text)
    assert Choices(path).choose("key", [FAST], lambda tiles: 1.0) == FAST
    assert Choices(path).choose("key", [FAST], forbidden) == FAST


def test_without_a_writable_cache_the_process_remembers(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    choices = Choices(tmp_path / "file" / "gpu.json")
    assert choices.choose("key", [FAST], lambda tiles: 1.0) == FAST
    assert choices.choose("key", [SLOW], forbidden) == FAST


def test_choices_are_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tune._choices.__wrapped__("a GPU").choose("key", [FAST], lambda tiles: 1.0)
    (file,) = (tmp_path / "finegrained-bench").iterdir()
    assert file.name.startswith("triton-")
    assert "a-GPU" in file.name


def test_nothing_is_measured_off_the_gpu_or_for_few_rows() -> None:
    for num_rows in (10, 10**6):
        assert tune.tuned("convolve", (32,), num_rows, torch.zeros(1), [SLOW, FAST], forbidden) == SLOW


@given(st.integers(1, 600), st.integers(1, 600), st.sampled_from([2, 4]))
def test_candidates_are_distinct_and_fit(features: int, outputs: int, itemsize: int) -> None:
    lists: Sequence[list[Tiles]] = (
        tune.convolution_tiles(features, outputs, itemsize),
        tune.weight_tiles(features, outputs, itemsize),
        tune.passive_tiles(features, outputs, itemsize),
    )
    for candidates in lists:
        assert 1 <= len(candidates) == len(set(candidates)) <= 8
        for tiles in candidates:
            for side in (tiles.cells, tiles.outputs, tiles.features):
                assert side >= 16
                assert side.bit_count() == 1
            assert tiles.outputs < max(32, 2 * outputs)
            assert tiles.features < max(32, 2 * features)
