"""Weights that are not those of the record beside them, or no numbers, are not loaded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.files import checksum
from bench.model.tensors_file import read_tensors


def written(path: Path, **tensors: Tensor) -> Path:
    save_file({"a.weight": torch.ones(3), **tensors}, path)
    return path


def test_a_flipped_bit_is_noticed_where_a_record_is_beside(tmp_path: Path) -> None:
    path = written(tmp_path / "effseg-seed0.safetensors")
    record = path.with_suffix(".json")
    record.write_text(json.dumps({"schema": 1, "weights": checksum(path)}))
    assert read_tensors(path)[0]["a.weight"].tolist() == [1, 1, 1]
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"effseg-seed0.safetensors is not the file that effseg-seed0.json .*restore"):
        read_tensors(path)
    record.unlink()  # as the message says
    assert read_tensors(path)[0]["a.weight"].tolist() != [1, 1, 1]


@pytest.mark.parametrize("content", ["[]", "{", '{"weights": 3}', '{"weights": "mine"}', "{}"])
def test_another_file_beside_says_nothing(content: str, tmp_path: Path) -> None:
    path = written(tmp_path / "weights.safetensors")
    path.with_suffix(".json").write_text(content)
    assert list(read_tensors(path)[0]) == ["a.weight"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1e300])
def test_weights_that_are_no_numbers_are_named(number: float, tmp_path: Path) -> None:
    broken = torch.zeros(2, 2, dtype=torch.float64)
    broken[1, 0] = number
    path = written(tmp_path / "weights.safetensors", **{"head.bias": broken, "steps": torch.tensor(3)})
    with pytest.raises(ValueError, match=r"weights.safetensors holds NaN .* in 1 of 3 tensors: head.bias; expected"):
        read_tensors(path)
