"""Memory of tensors on the CPU that are gone, given back to the system."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

_SLACK_BYTES = 256 * 2**20
_PAGES = Path("/proc/self/statm")
_PAGE_BYTES = 4096


class HeapTrimmer:
    """Gives memory back whenever this process has kept much more than when this was made: call it between images.

    Images have their own numbers of regions, and the holes that the tensors of one leave do not fit those of the next:
    without this, a process of the embedded benchmark takes 2.5 GB instead of 1.3. It costs page faults, so nothing that
    is timed does it.
    """

    def __init__(self) -> None:
        self._most = _resident_bytes() + _SLACK_BYTES

    def __call__(self) -> None:
        """Look, and give back if it is worth it."""
        if _resident_bytes() > self._most:
            trim_heap()


def trim_heap() -> None:
    """Give back what the C library keeps after tensors are gone; does nothing where it cannot (it is not glibc)."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _resident_bytes() -> int:
    """Resident bytes of this process; 0 where that cannot be read."""
    try:
        return int(_PAGES.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library of the program itself
        return None
