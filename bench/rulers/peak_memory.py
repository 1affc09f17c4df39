"""Peak memory of one call: the most bytes that torch's allocator had given out at once, on top of what was there."""

import os
from collections.abc import Callable, Iterable

import torch
from torch.profiler import ProfilerActivity, profile

_MEMORY_EVENT = "[memory]"

# torch's profiler tells of every start and stop on stderr, and of a missing GPU as an error. It reads its level when it
# is first used, not when it is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Peak of a second call, in bytes, its result included; the first fills whatever is kept between calls.

    On a GPU that is `torch.cuda.max_memory_allocated`. Elsewhere torch's profiler reports every allocation and release,
    also those inside an operation. The number does not depend on what else runs, nor on how pages are mapped, unlike
    the size of the process. Memory that does not come from torch's allocator (scratch of oneDNN) is not in it.
    """
    call()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    assert profiler.profiler is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == _MEMORY_EVENT]
    in_order = sorted(events, key=lambda event: event.start_ns())
    return highest_sum(event.nbytes() for event in in_order)


def highest_sum(changes: Iterable[int]) -> int:
    """The highest that a running sum gets, at least 0: allocations are positive, releases negative."""
    highest = held = 0
    for change in changes:
        held += change
        highest = max(highest, held)
    return highest
