"""One writer of a folder at a time, and who it is."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import lock
from bench.lock import locked

HOLDS = "import sys, time; from pathlib import Path; from bench.lock import locked\nwith locked(Path(sys.argv[1])):"


def test_a_second_writer_is_told_who_holds_it_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    code = f"{HOLDS}\n print('held', flush=True); time.sleep(600)"
    root = Path(__file__).parents[2]
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=root, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    told = rf"{tmp_path} is being written by process {holder.pid} on .* since \d{{4}}-.* \(-c {tmp_path}\)\. Only one"
    with pytest.raises(ValueError, match=told), locked(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with locked(tmp_path):
        assert f'"pid":{os.getpid()}' in (tmp_path / ".lock").read_text()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        pass
    assert f"Nothing keeps two commands from writing {tmp_path} at once" in caplog.text
