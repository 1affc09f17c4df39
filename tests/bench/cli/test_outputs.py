"""Files that are written: never what is read, whole or not at all."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli.outputs import check_outputs, opened


@dataclass(frozen=True)
class Verb:
    """Options as those of a verb."""

    json: Path
    folder: Path | None = None
    files: tuple[str, ...] = ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of weights and pictures."""
    (tmp_path / "read" / "sub").mkdir(parents=True)
    for name in ("a.safetensors", "a.json", "b.jpg", "sub/c.json", "lines.jsonl"):
        (tmp_path / "read" / name).write_text("mine")
    return tmp_path / "read"


@pytest.mark.parametrize("name", ["a.safetensors", "a.json", "b.jpg", "sub/c.json"])
def test_what_a_folder_that_is_read_holds_stays(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"--json .* would be written over, and .*read is read"):
        check_outputs(Verb(folder / name, folder), {"--json": folder / name}, also=())


def test_lines_may_be_written_again_beside_what_is_read(folder: Path) -> None:
    check_outputs(Verb(folder / "lines.jsonl", folder), {"--json": folder / "lines.jsonl"}, also=())
    with pytest.raises(ValueError, match="is read"):
        check_outputs(Verb(folder / "lines.jsonl"), {"--json": folder / "lines.jsonl"}, also=(folder / "lines.jsonl",))
    verb = Verb(folder / "lines.jsonl", files=("x" * 300, str(folder / "lines.jsonl")))
    with pytest.raises(ValueError, match="is read"):
        check_outputs(verb, {"--json": verb.json}, also=())


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    verb = Verb(tmp_path / "one")
    with pytest.raises(ValueError, match=r"--json and --csv are both .*one\. They must be two files"):
        check_outputs(verb, {"--json": verb.json, "--csv": tmp_path / "." / "one"}, also=())
    with pytest.raises(ValueError, match="cannot be written"):
        check_outputs(verb, {"--json": tmp_path / "nowhere" / "one"}, also=())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    with pytest.raises(TypeError), opened(link) as file:
        file.writelines(["half", 1])  # type: ignore[list-item]
    assert target.read_text() == "before"
    with opened(link) as file:
        file.write("after")
    assert target.read_text() == "after"
    assert link.is_symlink()


def test_a_pipe_gets_lines_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    with opened(tmp_path / "pipe") as file:
        file.write("line")
    reader.join()
    assert read == ["line"]
