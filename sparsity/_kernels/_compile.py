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

from sparsity._kernels import _cache

_log = logging.getLogger(__name__)

_FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-Wno-psabi")

_PATIENCE_SECONDS = 300
"""How long a compiler may take: it takes seconds, minutes on a busy machine."""


_REMEDY = "set XDG_CACHE_HOME to a folder that only you can write to"


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

    `$CC` names the compiler, else `cc`; `$XDG_CACHE_HOME` the cache, else `~/.cache`. Where others can write to that,
    the object is this user's own among the temporary files, which is said. Processes that compile at the same time wait
    for the first. An object that is not what the compiler wrote, by its checksum, is compiled anew. Raises
    CannotCompile.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(compiler[0]) is None:
        raise CannotCompile(f"there is no C compiler {compiler[0]!r} on the PATH; install gcc or clang, or set CC")
    flags = (*_FLAGS, *extra_flags)
    name = f"{source.stem}-{_key(source, compiler, flags)}.so"
    refused = ""
    for folder in _cache.folders():
        try:
            _cache.make_private(folder)
            target = folder.resolve() / name
            if not _is_intact(target):
                _compile_once(source, [*compiler, *flags], target)
        except OSError as error:
            refused += f"the cache {folder} cannot be used: {error}; "
            continue
        if refused:
            _log.warning("%sthe compiled kernel is kept in %s; %s.", refused, folder, _REMEDY)
        return target
    raise CannotCompile(refused + _REMEDY)


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
    """Whether a compiled file is the one that was written: it may be truncated, or another program's or user's."""
    try:
        _cache.check_private(target)
        _cache.check_private(_checksum_file(target))
        noted = _checksum_file(target).read_text(encoding="ascii")
        return noted == hashlib.sha256(target.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _checksum_file(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _compile_once(source: Path, command: Sequence[str], target: Path) -> None:
    """Compile where no other process does or did. Raises as `_compile`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC  # never what a link leads to
    lock = os.open(target.with_suffix(".lock"), flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_intact(target):
            _log.info("Compiling %s with %s into %s, once for this machine.", source.name, command[0], target.parent)
            _compile(source, command, target)
    finally:
        os.close(lock)


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
        for path in (built, noted):
            path.chmod(0o600)  # whatever the umask is
        # The checksum last: a new object with an old checksum is compiled again, never trusted.
        os.replace(built, target)
        os.replace(noted, _checksum_file(target))
