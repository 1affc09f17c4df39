"""What went wrong around a command - the disk, permissions, memory - in words: what, what was expected, what to do."""

import errno
import os
import re

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NUM_SHOWN = 60
"""Letters of a long name."""

_OF_RUST = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust, such as safetensors, tell an error of the system."""

INTERRUPTED = "Stopped by Ctrl-C. Expected to be left alone; what was finished is kept. Give the same command again."


def explained(error: Exception) -> str | None:
    """Explain an error that no command is at fault for; None for one that may be a mistake of the project."""
    if isinstance(error, MemoryError):
        return (
            f"There is not enough memory{f' ({error})' * bool(str(error))}. Expected room for what was asked for. Give "
            "fewer images, regions or resamples, or end other programs."
        )
    found = _OF_RUST.search(str(error))
    if not isinstance(error, OSError) and found is not None:
        error = OSError(int(found[1]), os.strerror(int(found[1])))
    return _of_system(error) if isinstance(error, OSError) else None


def _of_system(error: OSError) -> str:
    name = "A file" if error.filename is None else os.fsdecode(error.filename)
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return f"{name} cannot be written: {reason}. What was finished is kept. Make room, and give the command again."
    if error.errno == errno.ENAMETOOLONG:
        return (
            f"{name[:_NUM_SHOWN]}... is no name of a file: {reason}. Most systems take 255 bytes. Give a shorter one."
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{name}: {reason}. Inputs must be readable, and outputs writable. Change its permissions, or name another."
        )
    return f"{name}: {reason}. Expected to read and write it. Check the path and the disk, and give the command again."
