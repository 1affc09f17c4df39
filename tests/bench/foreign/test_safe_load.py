"""Reading files from the internet: nothing in them runs, and every file that is none of torch's is named."""

import argparse
import builtins
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.foreign.safe_load import Inert, load
from tests.bench.foreign.checkpoints import save_as_theirs


class Trap:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def traps(mark: Path) -> dict[str, Trap]:
    """Traps that would leave a file behind, by the name that a refusal must give."""
    return {
        f"{os.name}.system": Trap(os.system, f"touch {mark}"),
        "builtins.eval": Trap(builtins.eval, f"__import__('pathlib').Path({str(mark)!r}).touch()"),
        "pathlib.Path": Trap(Path, str(mark)),
    }


WAYS: dict[str, Callable[[object, Path], None]] = {
    "zip": lambda content, path: torch.save(content, path),
    "before zip": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "plain pickle, protocol 2": lambda content, path: path.write_bytes(pickle.dumps(content, 2)),
    "plain pickle, protocol 4": lambda content, path: path.write_bytes(pickle.dumps(content, 4)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wanted", list(traps(Path())))
@pytest.mark.parametrize("inside", [False, True], ids=["as content", "in the options"])
def test_a_trap_is_refused_before_it_runs_and_named(tmp_path: Path, way: str, wanted: str, inside: bool) -> None:
    mark, path = tmp_path / "mark", tmp_path / "trap.pth"
    trap: object = traps(mark)[wanted]
    content = {"model": {"a": torch.zeros(1)}, "args": argparse.Namespace(trap=trap) if inside else trap}
    WAYS[way](content, path)
    with pytest.raises(ValueError, match="is refused, and nothing of it was run: to be opened it wants") as caught:
        load(path)
    assert wanted in str(caught.value)
    assert not mark.exists()
    # The trap is one: Python's own reader falls into it.
    if way == "plain pickle, protocol 2" and wanted != "pathlib.Path":
        pickle.loads(path.read_bytes())
        assert mark.exists()


@pytest.mark.parametrize("zip_format", [True, False])
def test_a_state_dict_is_read_with_its_bits(tmp_path: Path, zip_format: bool) -> None:
    state = {"a": torch.rand(3, 4), "b": torch.rand(2).half(), "c": torch.arange(3)}
    torch.save({"model": state, "epoch": 3}, tmp_path / "x.pth", _use_new_zipfile_serialization=zip_format)
    found = load(tmp_path / "x.pth")
    assert isinstance(found, dict)
    assert found["epoch"] == 3
    assert all(found["model"][name].equal(tensor) for name, tensor in state.items())


def test_options_and_metadata_of_the_authors_get_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_as_theirs(tmp_path / "x.pth", {"a": torch.rand(2)}, monkeypatch)
    before, allowed = set(sys.modules), set(torch.serialization.get_safe_globals())
    found = load(tmp_path / "x.pth")
    assert isinstance(found, dict)
    assert type(found["args"]) is Inert
    assert type(found["args"].metadata) is Inert
    assert found["args"].metadata.thing_classes == ["person"]
    assert not any(name.startswith("detectron2") for name in set(sys.modules) - before)
    # What is let through for one file is not for whatever torch reads next.
    assert set(torch.serialization.get_safe_globals()) == allowed


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning", "is an HTML page"),
        (b"\n<html><body>Sign in</body></html>", "is an HTML page"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\x00\x01\x02\x03", "is of no known kind"),
        (b"\x80\x02", "is damaged"),
        (b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01", "is damaged"),
        (zipped(a_dot_pth=b"1", b_dot_pth=b"2"), "is a zip archive with a.pth, b.pth inside"),
        (zipped(), "is a zip archive with nothing inside"),
        (zipped(x__data_dot_pkl=b"", x__constants_dot_pkl=b""), "is a program (TorchScript)"),
        (zipped(x__data_dot_pkl=b"nonsense"), "is damaged"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pth is ") as caught:
        load(path)
    assert said in str(caught.value)
    assert "expected a file that torch.save wrote" in str(caught.value)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("zip_format", [True, False])
def test_a_file_that_is_cut_off_is_told(tmp_path: Path, share: float, zip_format: bool) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": {"a": torch.rand(1000)}}, path, _use_new_zipfile_serialization=zip_format)
    content = path.read_bytes()
    path.write_bytes(content[: max(4, int(share * len(content)))])
    with pytest.raises(ValueError, match="is cut off after" if zip_format else "is damaged"):
        load(path)


def test_arrays_of_numpy_are_refused_with_what_they_need(tmp_path: Path) -> None:
    """As the files of detectron2's model zoo are."""
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": np.zeros(3)}}))
    with pytest.raises(ValueError, match=r"it wants numpy\.\S*_reconstruct"):
        load(path)


def test_a_folder_a_missing_file_and_safetensors_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a directory; expected a file .* give a file"):
        load(tmp_path)
    (tmp_path / "a.pth").touch()
    with pytest.raises(ValueError, match=r"is a directory; .* such as a\.pth"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be read: No such file or directory; .* check the path"):
        load(tmp_path / "none.pth")
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="is a file of safetensors"):
        load(tmp_path / "a.safetensors")
