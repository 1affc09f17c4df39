"""Collective operations of the ranks of a training, named as in `torch.distributed`."""

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


def all_gather(make: Callable[[], T]) -> list[T]:
    """Make this rank's part and give those of all ranks, by rank. An error of one rank ends the others too.

    Raises TrainingStopped where another rank has gone, and RankFailed where it failed.
    """
    try:
        part = make()
    except Exception as error:
        with contextlib.suppress(TrainingStopped), _explain_lost_rank():
            ranks.tell_failure(Failure(type=type(error).__name__, message=str(error), frames=()))
        raise
    with _explain_lost_rank():
        return ranks.gather(part)


def broadcast(tensors: Mapping[str, Tensor]) -> None:
    """Overwrite the tensors of all ranks with those of rank 0."""
    if ranks.world_size() == 1:
        return
    all_gather(lambda: None)  # makes the group of all ranks, too
    with _explain_lost_rank():
        for tensor in tensors.values():
            dist.broadcast(tensor.detach(), 0, group=_group(tensor.device.type))


def all_reduce(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over the ranks, in one exchange. `all_gather` must have been called before."""
    if ranks.world_size() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    with _explain_lost_rank():
        dist.all_reduce(flat, group=_group(flat.device.type))
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[None]:
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


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield what says whether Ctrl-C was pressed, so that a step ends before the training does.

    A second Ctrl-C raises KeyboardInterrupt, whatever is being done.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@cache
def _group(device: str) -> dist.ProcessGroup | None:
    """The group for tensors of a device: `bench.ranks` made one of gloo, and GPUs talk to each other by nccl."""
    if device != "cuda":
        return None
    group = dist.new_group(backend="nccl")
    assert isinstance(group, dist.ProcessGroup)
    return group


@contextlib.contextmanager
def _explain_lost_rank() -> Iterator[None]:
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
