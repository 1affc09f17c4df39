"""Files that appear whole or not at all, and the checksums by which records and weights name them."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = ".unfinished-"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, also after a power failure."""
    with whole(path) as place:
        place.write_bytes(content)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write its content to; the file appears when that is done, as of `write_whole`."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    os.close(descriptor)
    try:
        yield Path(temporary)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are private; results are there to be shared
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def checksum(*paths: Path) -> str:
    """The "sha256:..." of a file, or of several as if they were one. Raises OSError."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return f"sha256:{digest.hexdigest()}"


def checksum_of(content: bytes) -> str:
    """The "sha256:..." of a content, as `checksum` gives that of a file."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def cache_folder() -> Path:
    """Where caches lie, by the XDG Base Directory Specification and beside the compiled kernels.

    A user without a home, as in containers, has them in the folder of temporary files. Raises ValueError where another
    user has taken that place.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        home = Path(named) if named else Path.home() / ".cache"
    except RuntimeError:
        home = _private_folder(Path(tempfile.gettempdir()) / f"cache-of-{os.getuid()}")
    return home / "finegrained-bench"


def _private_folder(path: Path) -> Path:
    """Make a folder among those of others that nobody else can write to."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise ValueError(
            f"{path} is there, and others can write to it; expected a folder of this user alone, for caches; set "
            "XDG_CACHE_HOME to another."
        )
    return path
