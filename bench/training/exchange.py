"""How the ranks of a training meet: to swap values, take the tensors of rank 0, add up gradients."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from bench import ranks
from bench.ranks import RankFailed
from bench.record import Failure

T = TypeVar("T")


class TrainingStopped(RuntimeError):
    """Training cannot go on; its last checkpoint can. The message says where, why and what to do."""


def meet(make: Callable[[], T]) -> list[T]:
    """Do this rank's part and give those of all ranks, by rank. An error of one rank ends the others too.

    Raises TrainingStopped where another rank has gone, and RankFailed where it failed.
    """
    try:
        part = make()
    except Exception as error:
        with contextlib.suppress(TrainingStopped), _others():
            ranks.tell_failure(Failure(type=type(error).__name__, message=str(error), frames=()))
        raise
    with _others():
        return ranks.gather(part)


def share_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Overwrite the tensors of all ranks with those of rank 0."""
    if ranks.world_size() == 1:
        return
    meet(lambda: None)  # makes the group of all ranks, too
    with _others():
        for tensor in tensors.values():
            dist.broadcast(tensor.detach(), 0, group=_group(tensor.device.type))


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over the ranks, in one exchange. `meet` must have been called before."""
    if ranks.world_size() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    with _others():
        dist.all_reduce(flat, group=_group(flat.device.type))
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


@contextlib.contextmanager
def told_to_end() -> Iterator[None]:
    """Raise TrainingStopped on SIGTERM, which torchrun sends to the ranks that are left when one has gone.

    A rank that leaves with an error, this one or its own, is deaf to SIGTERM from then on: torchrun tells it to end
    while it still says what happened. What hangs after that, torchrun kills.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TrainingStopped(
            "the process was told to end (SIGTERM), as torchrun does where another rank has gone; expected to be left "
            "alone; look for the message of the other rank, it may have been killed or out of memory."
        )

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to no other
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if ranks.world_size() > 1 else before)
        raise
    signal.signal(signal.SIGTERM, before)


@cache
def _group(device: str) -> dist.ProcessGroup | None:
    """The group for tensors of a device: `bench.ranks` made one of gloo, and GPUs talk to each other by nccl."""
    if device != "cuda":
        return None
    group = dist.new_group(backend="nccl")
    assert isinstance(group, dist.ProcessGroup)
    return group


@contextlib.contextmanager
def _others() -> Iterator[None]:
    """Say what an error of the connection means."""
    try:
        yield
    except RankFailed:
        raise
    except RuntimeError as error:
        raise TrainingStopped(
            f"another rank has gone ({str(error).splitlines()[0]}); expected all of them until the end; "
            "look for its own message, it may have been killed or out of memory."
        ) from error
