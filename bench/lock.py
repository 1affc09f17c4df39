"""One writer of a folder at a time: a lock that says who holds it, and that ends with its process."""

import contextlib
import errno
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_NAME = ".lock"
_SECONDS_BETWEEN_LOOKS = 0.05
_MOST_BYTES = 10_000
_BUSY = (errno.EAGAIN, errno.EACCES)

_log = logging.getLogger(__name__)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes: the process, since when (UTC, ISO 8601), and the command that it runs."""

    host: str
    pid: int
    since: str
    command: str


@contextlib.contextmanager
def locked(folder: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Be the only writer of a folder, which is there; wait for another one for `patience` seconds.

    The operating system keeps the lock (flock) of the file `.lock` in the folder and releases it when the process ends,
    however it ends: none is ever left behind. Where a file system has no such locks, that is logged, and nobody is kept
    out. Raises ValueError that names the holder, and OSError where the file cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(folder / _NAME, flags, 0o666)
    try:
        if _take(descriptor, folder, patience):
            own = Holder(
                host=socket.gethostname(),
                pid=os.getpid(),
                since=datetime.now(UTC).isoformat(timespec="seconds"),
                command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[: _MOST_BYTES // 2],
            )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(own) + b"\n", 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path, patience: float) -> bool:
    """Take the lock; False where there are no locks. Raises ValueError where another holds it for too long."""
    if fcntl is None:
        _log_no_locks(folder, "this system has none")
        return False
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in _BUSY:
                _log_no_locks(folder, str(error.strerror))
                return False
        if time.monotonic() >= end:
            raise ValueError(_held(folder, descriptor))
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _log_no_locks(folder: Path, why: str) -> None:
    _log.warning(
        "Nothing keeps two commands from writing %s at once: its file system has no locks (%s). Start one at a time.",
        folder,
        why,
    )


def _held(folder: Path, descriptor: int) -> str:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, _MOST_BYTES, 0), type=Holder)
        who = f"process {holder.pid} on {holder.host} since {holder.since} ({holder.command})"
    except msgspec.MsgspecError:  # it has the lock, and has not written yet who it is
        who = "another process"
    return f"{folder} is being written by {who}. Only one may write it. Give another folder, or end that process first."
