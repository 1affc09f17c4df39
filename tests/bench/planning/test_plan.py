"""Plans: only what is missing is measured, a failure is a record, what is finished stays finished."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from bench.contract import Context, Measurement
from bench.data.layout import coco_layout
from bench.planning import plan
from bench.planning.plan import Cell, Outcome
from bench.record import Scalar, Subject, Value, rows
from bench.store import Store

CONTEXT = Context(images=3)
RESULT = Measurement(values=(Value(name="n", value=2), Value(name="fps", value=np.float64(0.5), unit="1/s")))


@dataclass
class FakeProbe:
    """A probe that notes what it was asked to measure."""

    VERSION: int = 1
    TIMED: bool = False
    NEEDS_IMAGES: bool = False
    NEEDS_WEIGHTS: bool = False
    result: Measurement | BaseException | Callable[[Subject], Measurement] = RESULT
    asked: list[str | None] = field(default_factory=list)

    def protocol(self, subject: Subject, context: Context) -> dict[str, Scalar]:
        return {"images": context.images}

    def measure(self, subject: Subject, context: Context) -> Measurement:
        self.asked.append(subject.head)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result if isinstance(self.result, Measurement) else self.result(subject)


def cells(*heads: str) -> list[Cell]:
    return [Cell(recipe="r", subject=Subject(head=head), probe="fake") for head in heads]


def run(probe: FakeProbe, store: Store, *heads: str, context: Context = CONTEXT, force: bool = False) -> list[Outcome]:
    steps = plan.prepare(cells(*heads), {"fake": probe}, context, store, force=force)
    return list(plan.run(steps, context, store))


def test_measures_once(tmp_path: Path) -> None:
    probe, store = FakeProbe(), Store(tmp_path)
    (first,) = run(probe, store, "a")
    assert first.measured
    assert first.record.values == RESULT.values
    assert [type(value.value) for value in first.record.values] == [int, float]
    assert first.record.protocol == {"probe": "fake", "version": 1, "images": 3}
    outcomes = run(probe, store, "a", "b")
    assert [outcome.measured for outcome in outcomes] == [False, True]
    assert outcomes[0].record == first.record
    assert probe.asked == ["a", "b"]


def test_everything_of_a_measurement_is_kept(tmp_path: Path) -> None:
    ap = Value(name="ap", value=40.0, unit="%", at={"policy": "all"}, interval=(np.float64(39.0), np.float64(41.0)))
    result = Measurement(
        values=[ap],
        samples={"ap": np.arange(4)},
        files={"p.json": b"[]"},
        uncounted=("op",),
    )
    (outcome,) = run(FakeProbe(result=result), Store(tmp_path), "a")
    (entry,) = Store(tmp_path)
    assert entry == outcome.entry
    assert entry.record.values == (ap,)
    assert entry.record.uncounted == ("op",)
    np.testing.assert_array_equal(entry.arrays()["ap"], np.arange(4))
    (name,) = entry.record.files.keys() - {entry.record.samples}
    assert (entry.path.parent / name).read_bytes() == b"[]"
    assert entry.record.seconds >= 0


@pytest.mark.parametrize(
    ("probe", "context"),
    [(FakeProbe(VERSION=2), CONTEXT), (FakeProbe(TIMED=True), CONTEXT), (FakeProbe(), Context(images=4))],
)
def test_another_protocol_is_another_cell(tmp_path: Path, probe: FakeProbe, context: Context) -> None:
    store = Store(tmp_path)
    run(FakeProbe(), store, "a")
    (outcome,) = run(probe, store, "a", context=context)
    assert outcome.measured
    assert len(list(store)) == 2


def test_force_adds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (old,) = run(FakeProbe(), store, "a")
    (new,) = run(FakeProbe(result=Measurement(values=[Value(name="n", value=3)])), store, "a", force=True)
    assert new.measured
    assert old.entry.path.exists()
    assert [entry.record.get("n").value for entry in store] == [3]


def test_a_failure_is_a_record_and_the_run_goes_on(tmp_path: Path) -> None:
    def fails_on_b(subject: Subject) -> Measurement:
        if subject.head == "b":
            raise RuntimeError("out of memory")
        return RESULT

    store = Store(tmp_path)
    outcomes = run(FakeProbe(result=fails_on_b), store, "a", "b", "c")
    assert [outcome.record.error is None for outcome in outcomes] == [True, False, True]
    error = outcomes[1].record.error
    assert error is not None
    assert (error.type, error.message) == ("RuntimeError", "out of memory")
    assert error.frames[-1].startswith("planning/test_plan.py:")
    assert error.frames[-1].endswith(" in fails_on_b")
    assert outcomes[1].record.values == ()

    again = FakeProbe()
    assert [outcome.measured for outcome in run(again, store, "a", "b", "c")] == [False, True, False]
    assert again.asked == ["b"]
    assert all(entry.record.error is None for entry in store)
    assert len(list(tmp_path.rglob("*.json"))) == 3


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda: rows({"ap": float("nan")}), "not finite: ap"),
        (lambda: rows({"ap": 1.0}, head="effseg"), "has the axis head"),
        (lambda: [*rows({"ap": 1.0}), *rows({"ap": 2.0})], "two values of ap"),
    ],
)
def test_a_wrong_measurement_is_a_failure(tmp_path: Path, found: Callable[[], Iterable[Value]], message: str) -> None:
    def measured(subject: Subject) -> Measurement:
        return Measurement(values=tuple(found()))

    (outcome,) = run(FakeProbe(result=measured), Store(tmp_path), "a")
    assert outcome.record.error is not None
    assert outcome.record.error.type == "ValueError"
    assert message in outcome.record.error.message


def test_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupted(subject: Subject) -> Measurement:
        if subject.head == "b":
            raise KeyboardInterrupt
        return RESULT

    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(FakeProbe(result=interrupted), store, "a", "b", "c")
    assert [entry.record.subject.head for entry in store] == ["a"]
    probe = FakeProbe()
    run(probe, store, "a", "b", "c")
    assert probe.asked == ["b", "c"]


def test_images(tmp_path: Path) -> None:
    probes = {"fake": FakeProbe(NEEDS_IMAGES=True)}
    assert plan.lacking_images(cells("a"), probes, Context()) == cells("a")
    assert plan.lacking_images(cells("a"), probes, Context(data=coco_layout(tmp_path))) == []
    assert plan.lacking_images(cells("a"), {"fake": FakeProbe()}, Context()) == []


def test_unknown_probe() -> None:
    with pytest.raises(ValueError, match=r"no probe named 'parms'.*'params'"):
        plan.load_probes(["parms"])


def test_a_cell_is_a_path() -> None:
    assert str(cells("a")[0]) == "r/a-none-seed0/fake"


def test_a_cell_limits_what_the_run_leaves_open() -> None:
    small = Cell(recipe="r", subject=Subject(), probe="fake", images=20, regions=4, budget=50)
    found = small.within(Context())
    assert (found.images, found.regions, found.budget) == (20, 4, 50)
    found = small.within(Context(images=30, regions=9, budget=70))
    assert (found.images, found.regions, found.budget) == (20, 9, 70)
    assert small.within(Context(images=3)).images == 3
    free = Cell(recipe="r", subject=Subject(), probe="fake")
    assert free.within(Context(images=30)) == Context(images=30)


def test_a_cell_says_how_its_masks_are_finished() -> None:
    cell = Cell(recipe="r", subject=Subject(head="a"), probe="accuracy", finishing="dilated")
    assert cell.within(Context()).finishing == "dilated"
    assert Cell(recipe="r", subject=Subject(head="a"), probe="accuracy").within(Context()).finishing == "exact"
