"""Records: what is written is read back, nothing else is accepted, keys name a measurement."""

import re
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import machine
from bench.names import AXES
from bench.record import _RESERVED, Code, Failure, Machine, Record, Scalar, Subject, Value, decode, encode, key, rows
from reports.select.frame import AFTER_AXES, BEFORE_AXES

MACHINE = Machine(
    cpu="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
    cores=2,
    threads=2,
    clock_mhz=None,
    memory_bytes=2**34,
    os="Linux 6",
    python="3.11.7",
    torch="2.14.1",
)
SUBJECT = Subject(head="effseg", backend="sps", module="sfm", backbone="r50_fpn", preset="paper")
CONV = {"stage": 1, "operation": "conv"}
VALUES = (
    Value(name="fps_paper", value=11.25, unit="1/s", interval=(11.0, 11.5)),
    Value(name="regions", value=60),
    Value(name="ms", value=2.5, unit="ms", at=CONV),
    Value(name="ms", value=7.5, unit="ms", at={"stage": 2, "operation": "conv"}),
)
RECORD = Record(
    subject=SUBJECT,
    protocol={"probe": "speed", "version": 1, "images": None, "batch": 1},
    machine=MACHINE,
    code=Code(commit="0" * 40, dirty=False),
    values=VALUES,
    samples="speed-1a2b3c4d.npz",
    files={"speed-1a2b3c4d.log": "sha256:00"},
    uncounted=("aten::topk",),
    started="2026-11-22T10:00:00.000000+00:00",
    seconds=41.2,
)
FAILURE = Failure(type="E", message="m", frames=("f",))
names = st.text("ab_", min_size=1, max_size=3)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**60), 2**60) | floats
places = st.dictionaries(names, names | st.integers(0, 9), max_size=2)
rows_of_values = st.lists(
    st.builds(Value, name=names, value=numbers, unit=names, at=places, interval=st.none() | st.tuples(floats, floats)),
    max_size=3,
    unique_by=lambda value: (value.name, frozenset(value.at.items())),
)
scalars = st.none() | st.booleans() | st.integers(0, 9) | st.text('a"\n\u00e9', max_size=3)


def changed(**fields: object) -> bytes:
    """The record's JSON with some fields replaced; None removes one."""
    fields = msgspec.json.decode(encode(RECORD)) | fields
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not ...})


def row(name: str, value: object = 1, **others: object) -> dict[str, object]:
    """A value as JSON has it."""
    return {"name": name, "value": value, **others}


@given(values=rows_of_values, protocol=st.dictionaries(names, scalars, max_size=3))
def test_round_trip(values: list[Value], protocol: dict[str, Scalar]) -> None:
    protocol = {**protocol, "probe": "p", "version": 1}
    record = msgspec.structs.replace(RECORD, values=tuple(values), protocol=protocol)
    for indent in (0, 2):
        assert decode(encode(record, indent=indent)) == record


def test_fields_are_those_of_the_interface() -> None:
    fields = " ".join(msgspec.json.decode(encode(RECORD)))
    assert fields == "schema subject protocol machine code values samples files uncounted error started seconds"
    assert msgspec.json.encode(VALUES) == (
        b'[{"name":"fps_paper","value":11.25,"unit":"1/s","interval":[11.0,11.5]},{"name":"regions","value":60},'
        b'{"name":"ms","value":2.5,"unit":"ms","at":{"stage":1,"operation":"conv"}},'
        b'{"name":"ms","value":7.5,"unit":"ms","at":{"stage":2,"operation":"conv"}}]'
    )


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"vales": {}}, "vales"),
        ({"subject": {"head": 3}}, r"\$.subject.head"),
        ({"subject": {"haed": "effseg"}}, "haed"),
        ({"values": {"fps_paper": 11.25}}, r"\$.values"),
        ({"values": [row("ap"), row("fps_paper", "fast")]}, r"\$.values\[1\].value"),
        ({"values": [row("ap", units="points")]}, r"unknown field `units` - at `\$.values"),
        ({"values": [row("ms", at={"stage": 1.5})]}, r"\$.values\[0\].at"),
        ({"values": [row("ms", at={"unit": "s"})]}, "'ms' has the axis unit, which is the name of a field"),
        ({"values": [row("ap", interval=[1])]}, r"\$.values\[0\].interval"),
        (
            {"values": [row("ms", at={"b": 1, "a": 2}), row("ms", at={"a": 2, "b": 1})]},
            r"two values of ms \{'a': 2, 'b'",
        ),
        ({"seconds": ...}, "seconds"),
        ({"protocol": {"probe": "speed"}}, "version"),
        ({"units": {"fps_paper": "1/s"}}, "units"),
        ({"schema": 3}, "has schema 3; this version reads schemas 1 to 2. Read it with the version"),
        ({"schema": "1"}, r"\$.schema"),
        ({"error": {"type": "E", "message": "m", "frames": []}}, "must have no values"),
    ],
)
def test_strict(fields: dict[str, object], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        decode(changed(**fields))


def test_half_a_record_is_an_error() -> None:
    with pytest.raises(ValueError, match="truncated"):
        decode(encode(RECORD)[:-20])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_are_finite(value: float) -> None:
    with pytest.raises(ValueError, match="not finite: stage1_ap;"):
        Value(name="ap", value=value, at={"stage": 1})
    with pytest.raises(ValueError, match="not finite: ap;"):
        Value(name="ap", value=1.0, interval=(0.0, value))


def test_no_two_values_are_the_same() -> None:
    with pytest.raises(ValueError, match=r"two values of regions, ms \{'operation': 'conv', 'stage': 1\}; a name must"):
        msgspec.structs.replace(RECORD, values=(*VALUES, VALUES[1], Value(name="ms", value=3.0, at=CONV)))


@pytest.mark.parametrize("axis", ["head", "value", "low", "probe", "recipe", "machine"])
def test_an_axis_has_a_name_of_its_own(axis: str) -> None:
    with pytest.raises(ValueError, match=f"has the axis {axis}, which is the name of a field"):
        Value(name="ms", value=1.0, at={axis: "a"})


def test_no_axis_is_named_like_another_column_of_a_frame() -> None:
    assert {*BEFORE_AXES, *AFTER_AXES} == _RESERVED - {"at", "interval"}
    assert _RESERVED.isdisjoint(AXES)


def test_values_are_found_by_name_and_place() -> None:
    assert RECORD.get("ms", operation="conv", stage=2) is VALUES[3]
    assert RECORD.get("regions").value == RECORD.where("regions")[0].value == 60
    assert RECORD.find("ms") is None, "only exactly this place"
    assert RECORD.find("ms", stage=1) is RECORD.find("macs") is None
    assert RECORD.where("ms") == RECORD.where(operation="conv") == VALUES[2:]
    assert RECORD.where(stage=2) == VALUES[3:]
    assert RECORD.where("fps_paper", stage=1) == ()
    assert RECORD.where() == VALUES
    assert RECORD.axes("stage") == (1, 2)
    assert RECORD.axes("operation") == ("conv",)
    assert RECORD.axes("policy") == ()


@pytest.mark.parametrize(
    ("name", "at", "message"),
    [
        ("ms", {}, "The record of speed has no value 'ms'; it has ms at stage=1, operation=conv, ms at stage=2, "),
        ("ms", {"stage": 3}, "no value 'ms' at stage=3; it has ms at stage=1, operation=conv"),
        ("regions", {"stage": 1}, "no value 'regions' at stage=1; it has regions; name one of these, or look with"),
        ("region", {}, "no value 'region'; it has regions; name"),
        ("xyz", {}, "no value 'xyz'; it has fps_paper, regions, ms; name"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(name: str, at: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        RECORD.get(name, **at)


def test_few_of_many_values_are_named() -> None:
    many = msgspec.structs.replace(RECORD, values=tuple(rows({f"value{number}": number for number in range(9)})))
    with pytest.raises(ValueError, match=re.escape("it has value0, value1, value2, value3, value4 (9 in all); name")):
        many.get("ap")
    empty = msgspec.structs.replace(RECORD, values=())
    with pytest.raises(ValueError, match="it has none;"):
        empty.get("ap")


def test_rows_are_values_of_one_unit_at_one_place() -> None:
    made = list(rows({"ms": 2.5, "dense_ms": 5.0}, "ms", intervals={"ms": (2.0, 3.0)}, stage=1, operation="conv"))
    assert made == [
        Value(name="ms", value=2.5, unit="ms", at=CONV, interval=(2.0, 3.0)),
        Value(name="dense_ms", value=5.0, unit="ms", at=CONV),
    ]
    assert [value.label for value in made] == ["stage1_conv_ms", "stage1_conv_dense_ms"]
    assert [value.label for value in rows({"ap": 1})] == ["ap"]


def test_a_notebook_shows_the_values() -> None:
    odd = Value(name="a<b>", value=2_906_192, unit="&", at={"axis<": "x>"})
    shown = msgspec.structs.replace(RECORD, subject=Subject(head="<my>"), values=(*VALUES[:3], odd))._repr_html_()
    assert shown.startswith("<p><b>&lt;my&gt;-none-seed0</b>, speed</p><table><tr><th>name</th><th>of</th>")
    assert "<tr><td>fps_paper</td><td></td><td>11.25</td><td>1/s</td><td>11 to 11.5</td></tr>" in shown
    assert "<tr><td>ms</td><td>stage=1, operation=conv</td><td>2.5</td><td>ms</td><td></td></tr>" in shown
    assert "<tr><td>a&lt;b&gt;</td><td>axis&lt;=x&gt;</td><td>2906192</td><td>&amp;</td>" in shown
    failed = msgspec.structs.replace(RECORD, values=(), error=Failure(type="E", message="1 < 2", frames=()))
    assert failed._repr_html_().endswith("<p>E: 1 &lt; 2</p>")


SCHEMA_1: dict[str, object] = {
    "schema": 1,
    "protocol": {"probe": "backend_speed", "version": 1},
    "values": {"stage1_conv_ms": 2.5, "regions": 60},
    "units": {"stage1_conv_ms": "ms", "regions": ""},
    "intervals": {"stage1_conv_ms": [2.0, 3.0]},
}


def test_schema_1_comes_apart_into_rows() -> None:
    record = decode(changed(**SCHEMA_1))
    assert record.values == (
        Value(name="ms", value=2.5, unit="ms", at=CONV, interval=(2.0, 3.0)),
        Value(name="regions", value=60),
    )
    assert record.schema == 2
    same = msgspec.structs.replace(RECORD, protocol=record.protocol, values=record.values)
    assert record == same == decode(encode(record))
    failed = decode(changed(**SCHEMA_1 | {"values": {}, "units": {}, "intervals": {}, "error": FAILURE}))
    assert (failed.error, failed.values) == (FAILURE, ())
    assert decode(changed(**SCHEMA_1 | {"protocol": {"probe": "my_own", "version": 1}})).get("stage1_conv_ms").at == {}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"vales": {}}, "vales"),
        ({"values": {"stage1_conv_ms": "fast", "regions": 60}}, r"\$.values"),
        ({"units": {"stage1_conv_ms": "ms"}}, "Values and units differ in regions"),
        ({"intervals": {"ap": [1, 2]}}, "no value to the interval ap"),
        ({"subject": {"haed": "effseg"}}, "haed"),
        ({"error": {"type": "E", "message": "m", "frames": []}}, "must have no values"),
        ({"values": [row("ap")]}, r"\$.values"),
    ],
)
def test_schema_1_is_read_strictly(fields: dict[str, object], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        decode(changed(**SCHEMA_1 | fields))


def test_key_is_stable() -> None:
    """A changed key orphans every stored record: do not update these without a reason."""
    assert key(SUBJECT, {"probe": "params", "version": 1}, None) == "e993d0cb"
    assert key(SUBJECT, {"probe": "speed", "version": 1}, MACHINE) == "875875f2"


def test_key_sees_what_matters() -> None:
    protocol = {"probe": "speed", "version": 1, "images": 100}
    others = [
        key(msgspec.structs.replace(SUBJECT, seed=1), protocol, MACHINE),
        key(msgspec.structs.replace(SUBJECT, kernel="native"), protocol, MACHINE),
        key(msgspec.structs.replace(SUBJECT, detector="fqdetv2"), protocol, MACHINE),
        key(SUBJECT, protocol | {"version": 2}, MACHINE),
        key(SUBJECT, protocol | {"images": 50}, MACHINE),
        key(SUBJECT, protocol | {"probe": "memory"}, MACHINE),
        key(SUBJECT, protocol, msgspec.structs.replace(MACHINE, threads=1)),
        key(SUBJECT, protocol, msgspec.structs.replace(MACHINE, gpu="NVIDIA H100")),
        key(SUBJECT, protocol, None),
        key(SUBJECT, protocol, MACHINE),
    ]
    assert len(set(others)) == len(others)
    assert all(re.fullmatch("[0-9a-f]{8}", other) for other in others)


def test_key_ignores_what_does_not() -> None:
    protocol = {"probe": "speed", "version": 1}
    same = msgspec.structs.replace(MACHINE, os="Linux 7", memory_bytes=None, clock_mhz=2700.0)
    assert key(SUBJECT, {"version": 1, "probe": "speed"}, same) == key(SUBJECT, protocol, MACHINE)


def test_names_of_directories() -> None:
    assert SUBJECT.name == "effseg-sps-sfm-r50_fpn-paper-none-seed0"
    assert Subject(head="mask_rcnn", schedule="12ep", seed=3).name == "mask_rcnn-12ep-seed3"
    assert (
        msgspec.structs.replace(SUBJECT, detector="fqdetv2").name == "effseg-sps-sfm-r50_fpn-fqdetv2-paper-none-seed0"
    )
    assert MACHINE.name == "xeon-platinum-8481c-2c"
    assert msgspec.structs.replace(
        MACHINE, cpu="AMD EPYC 9B14 96-Core Processor", gpu="NVIDIA H100 80GB HBM3"
    ).name == ("epyc-9b14-2c-h100-80gb-hbm3")


def test_machine_card_describes_this_machine() -> None:
    card = machine.card()
    assert card.cpu
    assert card.cores >= 1
    assert card.threads is not None  # conftest has loaded torch
    assert card.torch is not None
    assert re.fullmatch("[a-z0-9-]+", card.name)
    record = msgspec.structs.replace(RECORD, machine=card, values=(), error=FAILURE)
    assert decode(encode(record)) == record


def test_torch_is_not_imported() -> None:
    code = (
        "import bench.record, bench.store, bench.planning.plan, bench.planning.recipes, bench.machine, bench.catalog, "
        "bench.cli, sys; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
