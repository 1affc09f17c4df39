"""How long cells will take, judged by what the store holds."""

from pathlib import Path

import msgspec
import pytest

from bench.planning.estimate import Estimate, duration, estimate
from bench.planning.plan import Cell, Step, load_probes
from bench.record import Code, Failure, Machine, Record, Scalar, Subject
from bench.store import Entry

MACHINE = Machine(cpu="cpu", cores=2, threads=2, clock_mhz=None, memory_bytes=None, os="os", python="3", torch=None)
SMALL: dict[str, Scalar] = {"probe": "speed", "version": 1, "images": "first 20"}
LARGE: dict[str, Scalar] = {"probe": "speed", "version": 1, "images": "all"}


def record(head: str, seconds: float, protocol: dict[str, Scalar]) -> Record:
    return Record(
        subject=Subject(head=head),
        protocol=protocol,
        machine=MACHINE,
        code=Code(commit=None, dirty=None),
        started="2026-01-01T00:00:00.000000+00:00",
        seconds=seconds,
    )


def step(head: str, protocol: dict[str, Scalar], found: Record | None = None) -> Step:
    return Step(
        cell=Cell(recipe="heads", subject=Subject(head=head), probe="speed"),
        probe=load_probes(["params"])["params"],
        protocol=protocol,
        key="0123abcd",
        found=None if found is None else Entry(recipe="heads", path=Path("speed-0123abcd.json"), record=found),
    )


def test_the_median_of_the_same_head_under_the_same_protocol() -> None:
    known = [record("effseg", seconds, SMALL) for seconds in (5.0, 7.0, 100.0)]
    known += [record("mask_rcnn", 1.0, SMALL), record("effseg", 900.0, LARGE)]
    assert estimate([step("effseg", SMALL)], known) == Estimate(seconds=7.0, num_unknown=0)


def test_others_stand_in_for_a_head_without_records() -> None:
    known = [record("effseg", 4.0, SMALL), record("point_rend", 6.0, SMALL)]
    assert estimate([step("my_head", SMALL)], known).seconds == 5.0


def test_nothing_is_guessed_from_another_protocol_or_a_failure() -> None:
    failed = msgspec.structs.replace(
        record("effseg", 1.0, SMALL), error=Failure(type="RuntimeError", message="no", frames=())
    )
    found = estimate([step("effseg", SMALL)], [failed, record("effseg", 900.0, LARGE)])
    assert found == Estimate(seconds=0.0, num_unknown=1)
    assert str(found) == "time unknown"


def test_what_is_in_the_store_takes_no_time() -> None:
    done = record("effseg", 4.0, SMALL)
    found = estimate([step("effseg", SMALL, found=done), step("mask_rcnn", LARGE)], [done, record("x", 60.0, LARGE)])
    assert found == Estimate(seconds=60.0, num_unknown=0)
    assert str(found) == "about 60 s"
    assert str(estimate([step("x", LARGE), step("x", SMALL)], [record("x", 600.0, LARGE)])) == (
        "about 10 min, and 1 cell of which nothing is known"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (5_370, "1 h 30 min"), (7_260, "2 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(float(seconds)) == text
