"""Peaks of backends at a small operating point, and the account of the allocator itself."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import Context, Measurement
from bench.names import STAGES
from bench.probes import backend_cost, memory
from bench.record import Subject
from bench.rulers.peak_memory import highest_sum, peak_bytes
from sparsity import names
from tests.bench.found import numbers_at

POINT = Context(regions=4, budget=60)
MIB = 2**20


def measure(backend: str, context: Context = POINT) -> Measurement:
    return memory.measure(Subject(backend=backend, weights="none"), context)


def peak(found: Measurement, stage: int, operation: str) -> int | float:
    return numbers_at(found, stage=stage, operation=operation)["peak_bytes"]


@pytest.fixture(scope="module")
def measured() -> dict[str, Measurement]:
    return {name: measure(name) for name in names("sparsity")}


def test_stored_is_the_largest_stage_that_backend_cost_has(measured: dict[str, Measurement]) -> None:
    for name in ("sps", "dense"):
        stored = backend_cost.measure(Subject(backend=name, weights="none"), POINT)
        of_stages = [numbers_at(stored, stage=stage)["bytes"] for stage in STAGES]
        assert numbers_at(measured[name])["bytes_stored"] == max(of_stages)


def test_stages_have_peaks_and_no_bytes_that_are_measured_elsewhere(measured: dict[str, Measurement]) -> None:
    for measurement in measured.values():
        assert {value.name for value in measurement.values if value.at} == {"peak_bytes"}


def test_every_value_is_a_number_of_bytes(measured: dict[str, Measurement]) -> None:
    for measurement in measured.values():
        assert {value.unit for value in measurement.values} == {"bytes"}
        assert all(isinstance(value.value, int) and value.value >= 0 for value in measurement.values)


def test_the_peak_is_that_of_the_hungriest_operation(measured: dict[str, Measurement]) -> None:
    found = measured["sps"]
    assert numbers_at(found)["bytes_peak"] == max(value.value for value in found.values if value.at)


def test_what_a_backend_cannot_do_has_no_peak(measured: dict[str, Measurement]) -> None:
    assert numbers_at(measured["pointwise"], stage=1, operation="linear")
    assert not numbers_at(measured["pointwise"], stage=1, operation="conv")
    assert numbers_at(measured["neighbors"], stage=1, operation="conv")
    assert not numbers_at(measured["neighbors"], stage=1, operation="sfm")


def test_the_sparser_the_stage_the_less_a_sparse_operation_needs(measured: dict[str, Measurement]) -> None:
    """Dense needs memory for all cells; SPS for its active ones, whose features halve from stage to stage."""
    sps, dense = ([peak(measured[name], stage, "sfm") for stage in STAGES] for name in ("sps", "dense"))
    assert sps[0] > sps[1] > sps[2]
    assert dense[0] < dense[1] < dense[2]
    assert sps[2] < dense[2] / 10


def test_a_peak_holds_at_least_the_result(measured: dict[str, Measurement]) -> None:
    active_bytes = 4 * 60 * 128 * 4
    for name in ("dense", "sps", "sparse_on_dense"):
        assert peak(measured[name], 1, "sfm") >= active_bytes


def test_the_same_peaks_every_time(measured: dict[str, Measurement]) -> None:
    assert measure("sps").values == measured["sps"].values


def test_half_the_bytes_in_half_precision(measured: dict[str, Measurement]) -> None:
    half = numbers_at(measure("dense", Context(regions=4, budget=60, dtype="bfloat16")))
    index_bytes = 4 * 4 * 60
    assert 2 * (half["bytes_stored"] - index_bytes) == numbers_at(measured["dense"])["bytes_stored"] - index_bytes


def test_the_protocol_says_at_which_point() -> None:
    protocol = memory.protocol(Subject(backend="sps", weights="none"), POINT)
    assert (protocol["regions"], protocol["budget"]) == (4, 60)
    assert memory.protocol(Subject(backend="sps", weights="none"), Context())["budget"] == 10_000


def test_a_subject_needs_a_backend() -> None:
    with pytest.raises(ValueError, match="has no backend"):
        memory.measure(Subject(head="mask_rcnn"), POINT)


def test_a_peak_is_the_most_that_is_held_at_once() -> None:
    numbers = torch.zeros(MIB // 4)

    def chain() -> torch.Tensor:
        first = numbers + 1  # 1 MiB
        second = first + 1  # 2 MiB
        del first
        return second.double()  # 1 + 2 MiB

    # Beside the tensors there may be scalars of a few bytes.
    assert peak_bytes(chain, "cpu") == pytest.approx(3 * MIB, abs=1000)
    assert peak_bytes(lambda: None, "cpu") == 0


def test_a_peak_sees_inside_operations() -> None:
    """The result is one number; the exponentials it is the sum of are seen by no caller."""
    numbers = torch.zeros(MIB // 4)
    assert peak_bytes(lambda: numbers.logsumexp(0), "cpu") >= MIB


def test_what_the_first_call_keeps_is_no_peak() -> None:
    kept: list[torch.Tensor] = []

    def call() -> None:
        if not kept:
            kept.append(torch.zeros(MIB))

    assert peak_bytes(call, "cpu") == 0


def test_the_profiler_is_silent() -> None:
    """In a process of its own: the profiler reads its level once, and writes past Python's stderr."""
    program = (
        "import torch; from bench.rulers.peak_memory import peak_bytes; peak_bytes(lambda: torch.zeros(9) + 1, 'cpu')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "profiler" not in ran.stderr
    assert "gpuGetDeviceCount" not in ran.stderr


@given(sizes=st.lists(st.integers(0, 1000)))
def test_highest_sum(sizes: list[int]) -> None:
    assert highest_sum([*sizes, *(-size for size in sizes)]) == sum(sizes)
    assert highest_sum(change for size in sizes for change in (size, -size)) == max(sizes, default=0)


def test_memory_that_is_free_goes_back_to_the_system() -> None:
    """In a process of its own: blocks below one that is in use stay with the C library until it is told."""
    code = (
        "from bench.memory import trim_heap\n"
        "resident = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "blocks = [bytearray(60_000) for _ in range(2_000)]\n"
        "kept = blocks[-1]\n"
        "full = resident()\n"
        "del blocks\n"
        "trim_heap()\n"
        "print(full - resident())"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("reads Linux's /proc")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100e6
