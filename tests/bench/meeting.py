"""What launched ranks do in `test_ranks.py`; the file loads no torch, for a rank that meets no other needs none."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from bench import ranks


def meet(arguments: Sequence[str]) -> int:
    """A program for `launch`: the first rank writes what all brought; one may die, raise or leave, all end with one."""
    out, deed = arguments
    if deed == "die" and ranks.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "raise" and ranks.rank() == 1:
        raise RuntimeError("no more")
    if deed == "leave" and ranks.rank() == 0:
        return 2
    brought = ranks.gather((ranks.rank(), ranks.world_size(), os.environ["OMP_NUM_THREADS"]))
    if ranks.rank() == 0:
        Path(out).write_text(json.dumps(brought))
    return 1 if deed == "fail" else 0
