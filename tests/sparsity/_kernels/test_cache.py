"""The folder of the kernels: whose files and folders are used, and whose are not."""

import os
from pathlib import Path

import pytest

from sparsity._kernels._cache import cache_folder, check_private, folders, make_private


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file belong to another user than this one."""
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    else:
        another = path.stat().st_uid + 1
        monkeypatch.setattr(os, "geteuid", lambda: another)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1755])
def test_a_folder_that_only_this_user_writes_to_will_do(tmp_path: Path, mode: int) -> None:
    (tmp_path / "above").mkdir()
    make_private(tmp_path / "above" / "folder")
    (tmp_path / "above").chmod(mode)
    make_private(tmp_path / "above" / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "above" / "folder")
    make_private(tmp_path / "link")


@pytest.mark.parametrize("where", [".", "..", "../.."])
def test_a_folder_that_others_can_write_to_or_replace_is_refused(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "a" / "b" / "c"
    make_private(folder)
    (folder / where).chmod(0o702)
    (tmp_path / "link").symlink_to(folder)
    for way in (folder, tmp_path / "link"):
        with pytest.raises(PermissionError, match=r"others can write to .* \(mode 702\)"):
            make_private(way)
    (folder / where).chmod(0o1707)
    if where == ".":
        with pytest.raises(PermissionError, match="mode 1707"):
            make_private(folder)
    else:
        make_private(folder)  # as in /tmp, where nobody can touch what is another's


def test_what_belongs_to_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "object").write_text("")
    check_private(tmp_path / "object")
    give_away(tmp_path / "object", monkeypatch)
    with pytest.raises(PermissionError, match="object belongs to another user"):
        check_private(tmp_path / "object")


def test_the_cache_is_an_absolute_folder_and_there_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder() == tmp_path / "here" / "finegrained-bench"
    assert folders()[0] == cache_folder()
    assert all(folder.is_absolute() for folder in folders())

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert [folder.name for folder in folders()] == [f"finegrained-bench-{os.geteuid()}"]
