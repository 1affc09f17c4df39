"""The store: whole records or none, good ones never lost, the newest counts."""

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.files import checksum
from bench.record import Code, Failure, Machine, Record, Subject, Value, decode, encode
from bench.store import Entry, Store, _safe

KEY = "0123abcd"
FAILURE = Failure(type="RuntimeError", message="no", frames=())


def record(value: float | None, *, second: int = 0, cpu: str = "epyc") -> Record:
    """A record with one value, or with an error."""
    return Record(
        subject=Subject(head="effseg"),
        protocol={"probe": "speed", "version": 1},
        machine=Machine(
            cpu=cpu, cores=2, threads=2, clock_mhz=None, memory_bytes=None, os="os", python="3", torch=None
        ),
        code=Code(commit=None, dirty=None),
        values=() if value is None else (Value(name="fps", value=value, unit="1/s"),),
        error=FAILURE if value is None else None,
        started=f"2026-01-01T00:00:{second:02}.000000+00:00",
        seconds=1.0,
    )


def newest(store: Store) -> Entry | None:
    return store.newest("heads", "effseg-none-seed0", "speed", KEY)


def test_place_and_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    assert list(store) == []
    samples = {"latency_ms": np.arange(3.0)}
    added = store.add("heads", KEY, record(1.5), samples, {"predictions.json.gz": b"content"})
    folder = tmp_path / "results" / "epyc-2c" / "heads" / "effseg-none-seed0"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"speed-{KEY}.json",
        f"speed-{KEY}.npz",
        f"speed-{KEY}.predictions.json.gz",
    ]
    assert added.record.samples == f"speed-{KEY}.npz"
    assert added.record.files == {
        f"speed-{KEY}.predictions.json.gz": f"sha256:{hashlib.sha256(b'content').hexdigest()}",
        f"speed-{KEY}.npz": checksum(folder / f"speed-{KEY}.npz"),
    }
    assert list(store) == [added] == [newest(store)]
    np.testing.assert_array_equal(added.arrays()["latency_ms"], samples["latency_ms"])
    assert added.path.read_bytes() == encode(added.record, indent=2) + b"\n"


def test_no_arrays_no_file(tmp_path: Path) -> None:
    added = Store(tmp_path).add("heads", KEY, record(1.0))
    assert added.record.samples is None
    assert added.arrays() == {}
    assert len(list(added.path.parent.iterdir())) == 1


def test_good_records_stay_and_the_newest_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.add("heads", KEY, record(1.0, second=1), {"x": np.zeros(1)})
    before = first.path.read_bytes()
    for second in range(2, 13):  # more than nine: names must not be ordered as text
        store.add("heads", KEY, record(float(second), second=second), {"x": np.full(1, second)})
    assert first.path.read_bytes() == before
    assert first.arrays()["x"] == 0
    assert [entry.record.get("fps").value for entry in store] == [12.0]
    found = newest(store)
    assert found is not None
    assert found.record.get("fps").value == 12.0
    assert found.arrays()["x"] == 12
    assert len(list(tmp_path.rglob("*.json"))) == 12


def test_error_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failed = store.add("heads", KEY, record(None, second=1))
    good = store.add("heads", KEY, record(1.0, second=2))
    assert good.path == failed.path
    assert [entry.record.error for entry in store] == [None]
    failed_again = store.add("heads", KEY, record(None, second=3))
    assert failed_again.path != good.path
    assert newest(store) == failed_again


def test_a_crash_before_the_rename_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    kept = store.add("heads", KEY, record(1.0, second=1))
    left_behind = []

    def crash(source: str, target: Path) -> None:
        left_behind.append((Path(source).read_bytes(), target))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        store.add("heads", KEY, record(2.0, second=2))
    monkeypatch.undo()
    assert list(tmp_path.rglob("*.json")) == [kept.path]
    assert list(store) == [kept]
    # A killed process cannot clean up: what it leaves is neither read nor in the way.
    content, target = left_behind[0]
    assert target != kept.path
    (kept.path.parent / ".unfinished-x1").write_bytes(content)
    assert list(store) == [kept]
    assert store.add("heads", KEY, record(3.0, second=3)).path == target


def test_a_crash_between_arrays_and_record_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    replace = os.replace

    def crash(source: str, target: Path) -> None:
        if target.suffix == ".json":
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        store.add("heads", KEY, record(1.0), {"x": np.zeros(1)})
    monkeypatch.undo()
    assert list(store) == []
    added = store.add("heads", KEY, record(2.0), {"x": np.ones(1)})
    assert added.arrays()["x"] == 1


def with_value(text: bytes) -> bytes:
    return encode(record(1.5)).replace(b'"value":1.5', b'"value":' + text)


def with_samples(name: str) -> bytes:
    return encode(record(1.5)).replace(b'"samples":null', b'"samples":"' + name.encode() + b'"')


def of_schema_1(*, units: str = '"fps":"1/s"') -> bytes:
    """The record of 1.5 as it was written when the values were a dict, as were their units."""
    made = msgspec.json.decode(encode(record(1.5)))
    units_of = msgspec.json.decode(f"{{{units}}}")
    return msgspec.json.encode(made | {"schema": 1, "values": {"fps": 1.5}, "units": units_of, "intervals": {}})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"schema": 1, "subject"',
        b"[]",
        b'{"schema": 1, "subject": ' + b"[" * 100_000,  # deeper than a reader may go
        b'{"schema": 7}',
        b"\xff\x00",
        with_value(b"NaN"),
        with_value(b"1e999"),
        with_value(b"null"),
        with_value(b'1.5,"new_in_a_later_version":1'),
        with_value(b'1.5},{"name":"fps","value":2'),
        encode(record(1.5)).replace(b'"schema":2', b'"schema":2,"added":2'),
        encode(record(1.5)).replace(b'"schema":2', b'"schema":3'),
        encode(record(1.5))[:-9],
        of_schema_1(units=""),
        with_value(b"1" * 400),
        with_value(b'1.5,"at":{"stage":' + b"1" * 400 + b"}"),
        encode(record(1.5)).replace(b'"cores":2', b'"cores":' + b"9" * 30),
        encode(record(1.5)).replace(b'"head":"effseg"', b'"head":"' + b"a" * 1000 + b'"'),
        encode(record(None)).replace(b'"message":"no"', b'"message":"' + b"a" * 100_000 + b'"'),
        *(with_samples(name) for name in ("", ".", "..", "../up.npz", "a\\\\b", "a" * 300, "\u00e4" * 200)),
        encode(record(1.5)).replace(b'"files":{}', b'"files":{"a/b":"sha256:0"}'),
        encode(record(1.5)) + b" " * 5_000_000,
    ],
)
def test_unreadable_files_are_reported_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    store = Store(tmp_path)
    good = store.add("heads", KEY, record(1.0, second=1))
    bad = good.path.with_name(f"speed-{KEY}-2.json")
    bad.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert list(store) == [good]
    assert caplog.text.count(str(bad)) == 1
    assert f"Skipped in {tmp_path}: 1 files that are no readable records." in caplog.text
    ((path, reason),) = store.skipped.items()
    assert path == bad
    assert reason in caplog.text
    caplog.clear()
    assert list(store) == [good]
    assert not caplog.records, "a file is named once"
    added = store.add("heads", KEY, record(2.0, second=2))
    assert bad.read_bytes() == content
    assert newest(store) == added


def test_a_folder_in_the_place_of_a_record_is_reported_and_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = store.add("heads", KEY, record(1.0))
    bad = good.path.with_name("speed-ffffffff.json")
    bad.mkdir()
    assert list(store) == [good]
    assert list(store.skipped) == [bad]
    assert store.add("heads", "ffffffff", record(2.0)).path.name == "speed-ffffffff-2.json"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_may_never_end_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    store = Store(tmp_path)
    good = store.add("heads", KEY, record(1.0))
    bad = good.path.with_name("speed-ffffffff.json")
    make(bad)
    assert list(store) == [good]
    assert "is no regular file" in store.skipped[bad]
    assert store.add("heads", "ffffffff", record(2.0)).path.name == "speed-ffffffff-2.json"


def test_a_clock_set_back_does_not_turn_the_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    ahead = msgspec.structs.replace(record(1.0), started="2099-01-01T00:00:00.000000+00:00")
    first = store.add("heads", KEY, ahead)
    with caplog.at_level(logging.WARNING):
        assert newest(store) == first
        assert list(store) == [first]
    assert caplog.text.count("says that it was measured on 2099-01-01, and today is before that") == 1
    later = store.add("heads", KEY, record(2.0))
    assert newest(store) == later
    assert list(store) == [later]
    first.path.unlink()
    assert store.add("heads", KEY, record(3.0)).path.name == f"speed-{KEY}-3.json", "the last number is the newest"


def test_racing_writers_lose_nothing(tmp_path: Path) -> None:
    """Each takes a name of its own, and the arrays beside a record are its own."""

    def write(writer: int) -> None:
        for number in range(5):
            value = float(10 * writer + number)
            Store(tmp_path).add("heads", KEY, record(value), {"x": np.full(1, value)})

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = [Entry(recipe="heads", path=path, record=decode(path.read_bytes())) for path in tmp_path.rglob("*.json")]
    assert {entry.record.get("fps").value for entry in found} == {
        10.0 * writer + n for writer in range(4) for n in range(5)
    }
    assert all(entry.arrays()["x"] == entry.record.get("fps").value for entry in found)


def test_arrays_of_another_record_or_damaged_are_not_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, other = (store.add("heads", KEY, record(1.0), {"x": np.full(1, value), "y": np.zeros(2)}) for value in (1, 2))
    assert one.record.files == {f"speed-{KEY}.npz": checksum(one.path.with_suffix(".npz"))}
    assert other.arrays(only=["x"]).keys() == {"x"}
    content = other.path.with_suffix(".npz").read_bytes()
    one.path.with_suffix(".npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"The arrays of .* cannot be read .*: by its checksum it is of ano"):
        one.arrays()
    old = Entry(recipe="heads", path=one.path, record=msgspec.structs.replace(one.record, files={}))
    assert old.arrays()["x"] == 2, "records from before there were checksums are read"
    for damaged in (b"", content[:-9], content[:60] + b"0" + content[61:], b"PK", b"\x93NUMPY"):
        one.path.with_suffix(".npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"The arrays of .* cannot be read"):
            old.arrays()


def test_a_record_whose_value_is_replaced_by_itself_is_read(tmp_path: Path) -> None:
    """The bad contents above are bad for the reason that they are there for."""
    good = Store(tmp_path).add("heads", KEY, record(1.0))
    good.path.write_bytes(with_value(b"1.5"))
    assert [entry.record.get("fps").value for entry in Store(tmp_path)] == [1.5]


def test_records_of_schema_1_are_read_and_stay_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = store.add("heads", KEY, record(1.0)).path
    old.write_bytes(of_schema_1())
    assert [entry.record for entry in store] == [record(1.5)]
    assert not store.skipped
    assert store.add("heads", KEY, record(2.0, second=1)).path != old
    assert old.read_bytes() == of_schema_1()
    assert [entry.record.get("fps").value for entry in store] == [2.0]


def test_every_unreadable_file_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = Store(tmp_path).add("heads", KEY, record(1.0))
    wrong = {
        "newer": encode(record(1.5)).replace(b'"schema":2', b'"schema":3'),
        "half-written": encode(record(1.5))[:-9],
        "a value twice": with_value(b'1.5},{"name":"fps","value":2'),
    }
    for number, content in enumerate(wrong.values(), start=2):
        good.path.with_name(f"speed-{KEY}-{number}.json").write_bytes(content)
    store = Store(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert list(store) == [good]
    reasons = "\n".join(store.skipped.values())
    assert "has schema 3; this version reads schemas 1 to 2" in reasons
    assert "truncated" in reasons
    assert "two values of fps" in reasons
    assert f"Skipped in {tmp_path}: 3 files that are no readable records." in caplog.text


def test_a_folder_that_is_no_folder_is_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("mine")
    assert list(Store(tmp_path / "results")) == []


def test_two_records_of_one_cell_from_two_machines(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = store.add("heads", KEY, record(1.0, second=1, cpu="one"))
    two = store.add("heads", KEY, record(2.0, second=2, cpu="two"))
    elsewhere = store.add("heads", "ffffffff", record(3.0, second=0, cpu="one"))
    assert one.path.is_file()
    assert {entry.path for entry in store} == {two.path, elsewhere.path}
    assert store.cell("heads/effseg-none-seed0/speed") == [two, elsewhere]
    with pytest.raises(ValueError, match=r"There is no cell heads/x/speed in .*; expected one such as heads/effseg"):
        store.cell("heads/x/speed")


def test_foreign_files_are_not_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    added = store.add("heads", KEY, record(1.0), files={"predictions.json": b"[]"})
    (added.path.parent / "notes.json").write_text("mine")
    assert list(store) == [added]
    assert not caplog.records


def test_the_key_decides_whether_the_machine_matters(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = store.add("heads", KEY, record(1.0, cpu="another"))
    assert newest(store) == other
    assert store.newest("heads", "effseg-none-seed0", "speed", "ffffffff") is None
    assert store.newest("modules", "effseg-none-seed0", "speed", KEY) is None
    here = store.add("heads", KEY, record(2.0, second=1))
    assert list(store) == [here]


def test_cells_do_not_hide_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = record(1.0)
    store.add("heads", KEY, one)
    store.add("modules", KEY, one)
    store.add("heads", "ffffffff", one)
    store.add("heads", KEY, msgspec.structs.replace(one, subject=Subject(head="mask_rcnn")))
    assert len(list(store)) == 4


ODD_NAMES = ("a/b", "..", "../../b", ".b", "a\\b", "a\0\nb", "a%2Fb", "%", "50%", "a[b]", "*", "a b", "<b>", "\u00e4")


@pytest.mark.parametrize("head", ODD_NAMES)
def test_a_name_that_is_no_name_of_a_file(tmp_path: Path, head: str) -> None:
    """Its record lies where all others lie, and is found again, by its own name only."""
    store = Store(tmp_path / "results")
    odd = msgspec.structs.replace(record(1.0), subject=Subject(head=head))
    added = store.add(f"my{head}", KEY, odd, {"x": np.zeros(1)}, {f"of-{head}.json": b"[]"})
    assert len(added.path.relative_to(tmp_path / "results").parts) == 4
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.parent for path in files} == {added.path.parent}
    assert list(store) == [added]
    assert store.newest(f"my{head}", odd.subject.name, "speed", KEY) == added
    assert store.newest("my", odd.subject.name, "speed", KEY) is None
    assert store.cell(f"my{head}/{odd.subject.name}/speed") == [added]
    assert all(added.path.with_name(name).read_bytes() == b"[]" for name in added.record.files if "of-" in name)
    assert "x" in added.arrays()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
@example("a/b", "a%2Fb")
@example("a%2Fb", "a%252Fb")
@example("%", "%25")
@example(".b", "%2Eb")
def test_two_names_are_two_folders(one: str, other: str) -> None:
    assert (_safe(one) == _safe(other)) == (one == other)
    assert not {"/", "\\", "\0"} & set(_safe(one))
    assert not _safe(one).startswith(".")


@pytest.mark.parametrize("name", ["effseg-sps-sfm-r50_fpn-paper-none-seed0", "50% & <b>", "a[b]", "\u00e4", "v1.2"])
def test_names_that_files_can_have_stay_as_they_were(name: str) -> None:
    """So that stores written before are read, and their records found."""
    assert _safe(name) == name
