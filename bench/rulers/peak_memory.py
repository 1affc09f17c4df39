"""Peak memory of one call: the most bytes that torch's allocator had given out at once, on top of what was there."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile, record_function

_MEMORY_EVENT = "[memory]"
_END_OF = "end of "

# torch's profiler tells of every start and stop on stderr, and of a missing GPU as an error. It reads its level when it
# is first used, not when it is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")


@dataclass(frozen=True, kw_only=True)
class PhaseMemory:
    """Bytes of a phase of a call, on top of what was there before the call: held when it began, and at its peak."""

    phase: str
    before: int
    peak: int


def account(device: str) -> str:
    """Whose account of the memory a peak on a device is, as protocols say it."""
    return "max_memory_allocated" if torch.device(device).type == "cuda" else "torch profiler, allocator events"


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Peak of a second call, in bytes, its result included; the first fills whatever is kept between calls.

    On a GPU that is `torch.cuda.max_memory_allocated`. Elsewhere torch's profiler reports every allocation and release,
    also those inside an operation. The number does not depend on what else runs, nor on how pages are mapped, unlike
    the size of the process. Memory that does not come from torch's allocator (scratch of oneDNN) is not in it.
    """

    def whole(lap: Callable[[str], None]) -> None:
        result = call()
        lap("whole")
        del result

    (found,) = phase_peaks(whole, device)
    return found.peak


def phase_peaks(call: Callable[[Callable[[str], None]], object], device: str) -> list[PhaseMemory]:
    """The memory of every phase of a second call, which calls what it is given with the name of each when it ends.

    What is done after the last phase does not count. Explained as `peak_bytes`.
    """
    call(lambda phase: None)
    return _on_gpu(call, device) if torch.device(device).type == "cuda" else _profiled(call)


def _on_gpu(call: Callable[[Callable[[str], None]], object], device: str) -> list[PhaseMemory]:
    found: list[PhaseMemory] = []
    start = held = torch.cuda.memory_allocated(device)

    def lap(phase: str) -> None:
        nonlocal held
        peak = torch.cuda.max_memory_allocated(device)
        found.append(PhaseMemory(phase=phase, before=held - start, peak=peak - start))
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)

    torch.cuda.reset_peak_memory_stats(device)
    call(lap)
    return found


def _profiled(call: Callable[[Callable[[str], None]], object]) -> list[PhaseMemory]:
    def lap(phase: str) -> None:
        with record_function(_END_OF + phase):
            pass

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call(lap)
    assert profiler.profiler is not None
    events = [
        (event.start_ns(), event.name(), event.nbytes() if event.name() == _MEMORY_EVENT else 0)
        for event in profiler.profiler.kineto_results.events()
        if event.name() == _MEMORY_EVENT or event.name().startswith(_END_OF)
    ]
    return [*_by_phase((name, num_bytes) for _, name, num_bytes in sorted(events, key=lambda event: event[0]))]


def _by_phase(events: Iterable[tuple[str, int]]) -> Iterator[PhaseMemory]:
    """Cut allocations and releases, in order of time, where phases end."""
    before, changes = 0, list[int]()
    for name, num_bytes in events:
        if name == _MEMORY_EVENT:
            changes.append(num_bytes)
        else:
            peak = before + highest_sum(changes)
            yield PhaseMemory(phase=name.removeprefix(_END_OF), before=before, peak=peak)
            before, changes = before + sum(changes), []


def highest_sum(changes: Iterable[int]) -> int:
    """The highest that a running sum gets, at least 0: allocations are positive, releases negative."""
    highest = held = 0
    for change in changes:
        held += change
        highest = max(highest, held)
    return highest
