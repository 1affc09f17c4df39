"""The processes of `torchrun`: which one this is, its share of the work, and how they tell each other what they found.

Without torchrun there is one rank, which has everything, and nothing here imports torch.

    torchrun --nproc-per-node 2 run_bench.py run main --probes accuracy ...

Every rank runs the same program and meets the others at every `gather`, in the same order. One that fails in between
says so with `tell_failure`, which is its part of the next meeting: the others, waiting there, raise `RankFailed`.
"""

import atexit
import gc
import multiprocessing
import multiprocessing.connection
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

from bench.record import Failure

T = TypeVar("T")

_DIED = 70
"""Exit code of a launched rank that an exception ended: no code of its own, so that nobody goes on waiting for it."""

_OWN_CODES = (0, 1, 2)
"""Exit codes of a rank that ended by itself."""

_PATIENCE = timedelta(days=7)
"""How long ranks wait for one that measures alone. torchrun ends all of them as soon as one dies."""


class RankFailed(RuntimeError):
    """Another rank failed, so that this one cannot go on either. `failure` is what happened there."""

    def __init__(self, rank: int, failure: Failure) -> None:
        super().__init__(f"Rank {rank} failed: {failure.type}: {failure.message}")
        self.failure = failure


@dataclass(frozen=True, kw_only=True)
class _Failed:
    """Sent in the place of a value."""

    failure: Failure


def rank() -> int:
    """Number of this process among those of torchrun; 0 without, and for the one that plans, writes and prints."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def world_size() -> int:
    """Number of processes that torchrun started; 1 without."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device(name: str) -> str:
    """The device of this rank: every rank of a machine has a GPU of its own, unless `name` says which."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and world_size() > 1 else name


def shard(items: Sequence[T]) -> Sequence[T]:
    """The share of this rank, dealt out one by one, so that a sorted list gives shares alike."""
    return items[rank() :: world_size()]


def launch(num_ranks: int, program: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a program that gives an exit code in several ranks on this machine, one thread each; give rank 0's code.

    A rank that dies, rather than ending with a code of its own, ends the others too; the code is then its. So does the
    end of rank 0, which writes: what it could not do the others may wait for. All end with this process, also where a
    signal ends it at once: left alone they would write on, beside those of the next call.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    ranks = [
        spawn.Process(target=_as_rank, args=(number, num_ranks, port, program, arguments))
        for number in range(num_ranks)
    ]
    for process in ranks:
        process.start()
    running = {process.sentinel: number for number, process in enumerate(ranks)}
    try:
        while True:
            # Only what this call saw has ended: asked twice, the last one may end in between, and nobody is left.
            for sentinel in multiprocessing.connection.wait(list(running)):
                number = running.pop(cast(int, sentinel))
                ranks[number].join()
                code = ranks[number].exitcode
                if number == 0 or code not in _OWN_CODES:
                    return _DIED if code is None else code
    finally:
        for process in ranks:
            process.terminate()
            process.join()


def _as_rank(
    number: int, num_ranks: int, port: int, program: Callable[[Sequence[str]], int], arguments: Sequence[str]
) -> None:
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",  # read when torch is imported, which it is not yet
    }
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = _DIED
    try:
        code = program(arguments)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written, and gloo's threads may abort an interpreter that ends by itself


def _end_with_parent() -> None:
    """Wait until the launching process has ended, however it did, then end this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "launched ranks are children"
    parent.join()
    os._exit(_DIED)


def gather(value: T) -> list[T]:
    """Wait for all ranks and give what each brought, by rank, to all of them. Values are pickled.

    Raises RankFailed where another rank failed before it came here.
    """
    if world_size() == 1:
        return [value]
    brought = _exchange(value)
    for number, part in enumerate(brought):
        if isinstance(part, _Failed):
            raise RankFailed(number, part.failure)
    return [part for part in brought if not isinstance(part, _Failed)]


def from_first(make: Callable[[], T]) -> T:
    """Let rank 0 make a value and give it to all. What it raises should end it: torchrun then ends the others."""
    (value, *_) = gather(make() if rank() == 0 else None)
    return cast(T, value)


def tell_failure(failure: Failure) -> None:
    """Take part in the next `gather` of the other ranks with a failure instead of a value."""
    if world_size() > 1:
        _exchange(_Failed(failure=failure))


def _leave() -> None:
    """End gloo's threads, which must not outlive the interpreter: it would abort."""
    import torch.distributed as dist

    dist.destroy_process_group()
    gc.collect()  # what still refers to the group keeps its threads


def _exchange(value: T | _Failed) -> list[T | _Failed]:
    """Pickle `value` and give it to all ranks, the first time after shaking hands with them."""
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)
        atexit.register(_leave)
    brought: list[T | _Failed] = [value] * world_size()
    dist.all_gather_object(brought, value)
    return brought
