"""Records as tables and figures take them: numbers by name and place, and what lies beside a record in its store."""

from pathlib import Path

import msgspec

from bench.record import Failure, Subject
from reports.select.measured import Measured, failures, measured
from tests.reports.embedded_records import accuracy, keep, trained
from tests.reports.invented import invented

PROTOCOL = {"probe": "backend_speed", "version": 1}
VALUES = {"stage1_sfm_ms": 3.0, "stage2_sfm_ms": 2.0, "stage1_conv_ms": 1.0, "images": 4}


def one(of: Subject | None = None) -> Measured:
    intervals = {"stage1_sfm_ms": (2.5, 3.5)}
    (each,) = measured([invented(of or Subject(backend="sps"), PROTOCOL, VALUES, intervals=intervals)])
    return each


def test_a_number_has_its_interval_and_its_source() -> None:
    number = one().number("ms", operation="sfm", stage=1)
    assert number == 3.0
    assert number is not None
    assert number.interval == (2.5, 3.5)
    assert number.source is not None
    assert number.source.record is None, "it lies in no store"
    assert number.source.words() == "backend_speed: version 1; epyc-2c; 2026-01-01"
    assert one().number("ms", stage=1) is None


def test_numbers_along_an_axis_are_those_at_exactly_this_place() -> None:
    assert one().numbers("ms", "stage", operation="sfm") == {1: 3.0, 2: 2.0}
    assert one().numbers("ms", "operation", stage=1) == {"sfm": 3.0, "conv": 1.0}
    assert one().numbers("ms", "stage") == {}
    assert one().axes("stage") == (1, 2)


def test_a_value_below_a_place_is_there() -> None:
    assert one().has("ms", stage=2)
    assert one().has("images")
    assert not one().has("ms", stage=3)


def test_the_oldest_comes_first_and_what_failed_is_elsewhere() -> None:
    old, new = (invented(Subject(head="a"), PROTOCOL, {"n": 1}, second=second) for second in (1, 2))
    failed = msgspec.structs.replace(old, values=(), error=Failure(type="E", message="m", frames=()))
    assert [each.record for each in measured([new, failed, old])] == [old, new]
    assert failures([new, failed, old]) == [failed]


def test_a_record_of_a_store_knows_its_place_and_arrays(tmp_path: Path) -> None:
    (entry,) = store = keep(tmp_path, accuracy(trained("effseg"), 44.0))
    (each,) = measured(store)
    assert each.recipe == "demo"
    assert each.source.record == entry.place
    assert list(each.resampled) == ["ap_star", "apb_star", "ap", "apb"]
    assert entry.samples_path is not None
    entry.samples_path.unlink()
    (again,) = measured(store)
    assert again.resampled == {}, "the file is gone"
    assert again.arrays() == {}
    assert one().arrays() == {}


def test_names_are_those_of_tables() -> None:
    effseg = Subject(head="effseg", module="mlp", backend="sps")
    assert (one(effseg).head, one(effseg).module, one(effseg).storage) == ("EffSeg", "MLP", "")
    native = msgspec.structs.replace(effseg, kernel="native")
    assert (one(native).head, one(native).storage) == ("EffSeg (sps:native)", "sps:native")
    assert one(Subject(head="mine", module="own")).module == "own"
    assert one(Subject(backend="sps", kernel="native")).backend == "SPS:native"
