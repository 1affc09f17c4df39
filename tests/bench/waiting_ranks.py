"""Two ranks for `test_ranks.py` that wait for their end: `python waiting_ranks.py PIPE`. Imports no torch.

Each writes its number into the pipe and holds it open as long as it runs; one that nobody ends says so after a minute.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import ranks


def wait(arguments: Sequence[str]) -> int:
    """A program for `launch`."""
    with Path(arguments[0]).open("wb", buffering=0) as pipe:
        pipe.write(str(ranks.rank()).encode())
        time.sleep(60)
        pipe.write(b"late")
    return 0


if __name__ == "__main__":
    ranks.launch(2, wait, sys.argv[1:])
