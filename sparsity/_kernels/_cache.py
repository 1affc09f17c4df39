"""The folder of what kernels compile and tune, and whether what lies there can only be this user's.

A compiled object is code: whoever can put one there, or another folder in the folder's place, would run theirs here.
"""

import grp
import os
import pwd
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_PRIVATE = 0o700


def cache_folder() -> Path:
    """The folder below `$XDG_CACHE_HOME`, else below `~/.cache`. Raises RuntimeError for a user without a home."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home).absolute() if home else Path.home() / ".cache") / "finegrained-bench"


def folders() -> list[Path]:
    """Where compiled objects may lie: the cache, then a folder of this user among the temporary files."""
    found = []
    with suppress(RuntimeError):
        found.append(cache_folder())
    with suppress(OSError):  # no folder for temporary files can be written
        found.append(Path(tempfile.gettempdir()).absolute() / f"finegrained-bench-{os.geteuid()}")
    return found


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can write to, with the folders above it that are missing.

    Raises OSError where one is there that others can write to, or replace.
    """
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(_PRIVATE, exist_ok=True)
    real = folder.resolve()
    for each in dict.fromkeys((folder, real, *folder.parents, *real.parents)):
        if each != Path(each.anchor):  # nobody can replace the root
            check_private(each, sticky=each not in (folder, real))


def check_private(path: Path, *, sticky: bool = False) -> None:
    """Raise PermissionError where another user, but the system's, can change a file or folder.

    With `sticky`, a folder will do in which others can make files but not touch those of this user, as in /tmp.
    """
    status = path.lstat()
    mode = status.st_mode
    if status.st_uid not in (0, os.geteuid()):
        raise PermissionError(f"{path} belongs to another user (uid {status.st_uid})")
    if stat.S_ISLNK(mode) or (sticky and mode & stat.S_ISVTX):
        return
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _has_one_member(status.st_gid)):
        raise PermissionError(f"others can write to {path} (mode {stat.S_IMODE(mode):o})")


def _has_one_member(gid: int) -> bool:
    """Whether a group is this user's own, as many systems make one for every user: then it may write."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and not {*group.gr_mem} - {name}
