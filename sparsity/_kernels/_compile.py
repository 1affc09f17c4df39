"""Compiling C on first use: a shared object in the user's cache, made by the system's compiler.

The cache key is what the object depends on: sources, compiler, flags and architecture. It does not depend on the model
of the CPU, because the sources choose the instruction set when they run; so a home directory shared by several
machines is fine.
"""

import ctypes
import fcntl
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_log = logging.getLogger(__name__)

_FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-Wno-psabi")

_PATIENCE_SECONDS = 300
"""How long a compiler may take: it takes seconds, minutes on a busy machine."""


class CannotCompile(RuntimeError):
    """There is no compiler, no cache it could write to, or the compiler failed; the message says which."""


def load(source: Path) -> ctypes.CDLL:
    """Load the shared object of a C file, compiled if need be. Raises CannotCompile."""
    target = build(source)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise CannotCompile(f"{target} does not load: {error}; set XDG_CACHE_HOME to another folder") from error


def build(source: Path, extra_flags: Sequence[str] = ()) -> Path:
    """Give the shared object of a C file, which may include headers beside it, compiled if need be.

    `$CC` names the compiler, else `cc`; `$XDG_CACHE_HOME` the cache, else `~/.cache`. Processes that compile at the
    same time wait for the first. An object that is not what the compiler wrote, by its checksum, is compiled anew.
    Raises CannotCompile.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(compiler[0]) is None:
        raise CannotCompile(f"there is no C compiler {compiler[0]!r} on the PATH; install gcc or clang, or set CC")
    flags = (*_FLAGS, *extra_flags)
    folder = cache_folder()
    target = folder / f"{source.stem}-{_key(source, compiler, flags)}.so"
    try:
        if not _is_intact(target):
            folder.mkdir(parents=True, exist_ok=True)
            with target.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not _is_intact(target):
                    _log.info("Compiling %s with %s into %s, once for this machine.", source.name, compiler[0], folder)
                    _compile(source, [*compiler, *flags], target)
    except OSError as error:
        reason = f"the cache {folder} cannot be used: {error}; set XDG_CACHE_HOME to a folder that can be written"
        raise CannotCompile(reason) from error
    return target


def cache_folder() -> Path:
    """The folder of what kernels compile and tune: below `$XDG_CACHE_HOME`, else below `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "finegrained-bench"


def _key(source: Path, compiler: Sequence[str], flags: Sequence[str]) -> str:
    """Digest of all that the object depends on."""
    digest = hashlib.sha256()
    for path in (source, *sorted(source.parent.glob("*.h"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(repr((_version(tuple(compiler)), tuple(flags), platform.machine(), platform.system())).encode())
    return digest.hexdigest()[:16]


@functools.cache
def _version(compiler: tuple[str, ...]) -> str:
    try:
        answer = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompile(f"the C compiler {compiler[0]!r} does not run: {error}; set CC to one that does") from error
    return " ".join(compiler) + answer.stdout


def _is_intact(target: Path) -> bool:
    """Whether a compiled file is the one that was written: it may be truncated, or another program's."""
    try:
        noted = _checksum_file(target).read_text(encoding="ascii")
        return noted == hashlib.sha256(target.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _checksum_file(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _compile(source: Path, command: Sequence[str], target: Path) -> None:
    """Compile beside the target, then move object and checksum into place. Raises CannotCompile, OSError."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / target.name
        try:
            done = subprocess.run(
                [*command, str(source), "-o", str(built)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCompile(f"{command[0]} did not end within {_PATIENCE_SECONDS} s; set CC to another") from error
        if done.returncode != 0 or not built.exists():
            said = done.stderr.strip()[-500:]
            raise CannotCompile(f"{shlex.join(command)} failed on {source.name}: {said}; set CC to another compiler")
        noted = _checksum_file(built)
        noted.write_text(hashlib.sha256(built.read_bytes()).hexdigest(), encoding="ascii")
        # The checksum last: a new object with an old checksum is compiled again, never trusted.
        os.replace(built, target)
        os.replace(noted, _checksum_file(target))
