"""Records: what is written is read back, nothing else is accepted, keys name a measurement."""

import re
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import machine
from bench.record import Code, Failure, Machine, Record, Scalar, Subject, decode, encode, key

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
RECORD = Record(
    subject=SUBJECT,
    protocol={"probe": "speed", "version": 1, "images": None, "batch": 1},
    machine=MACHINE,
    code=Code(commit="0" * 40, dirty=False),
    values={"fps_paper": 11.25, "regions": 60},
    intervals={"fps_paper": (11.0, 11.5)},
    units={"fps_paper": "1/s", "regions": ""},
    samples="speed-1a2b3c4d.npz",
    files={"speed-1a2b3c4d.log": "sha256:00"},
    uncounted=("aten::topk",),
    started="2026-11-22T10:00:00.000000+00:00",
    seconds=41.2,
)
names = st.text("ab_", min_size=1, max_size=3)
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(0, 9) | st.text('a"\n\u00e9', max_size=3)


def changed(**fields: object) -> bytes:
    """The record's JSON with some fields replaced; None removes one."""
    fields = msgspec.json.decode(encode(RECORD)) | fields
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not ...})


@given(
    values=st.dictionaries(names, numbers, max_size=3),
    protocol=st.dictionaries(names, scalars, max_size=3),
)
def test_round_trip(values: dict[str, int | float], protocol: dict[str, Scalar]) -> None:
    record = msgspec.structs.replace(
        RECORD,
        values=values,
        units=dict.fromkeys(values, "u"),
        intervals={},
        protocol={**protocol, "probe": "p", "version": 1},
    )
    for indent in (0, 2):
        assert decode(encode(record, indent=indent)) == record


def test_fields_are_those_of_the_interface() -> None:
    fields = " ".join(msgspec.json.decode(encode(RECORD)))
    assert fields == (
        "schema subject protocol machine code values intervals units samples files uncounted error started seconds"
    )


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"vales": {}}, "vales"),
        ({"subject": {"head": 3}}, r"\$.subject.head"),
        ({"subject": {"haed": "effseg"}}, "haed"),
        ({"values": {"fps_paper": "fast", "regions": 60}}, r"\$.values"),
        ({"seconds": ...}, "seconds"),
        ({"protocol": {"probe": "speed"}}, "version"),
        ({"units": {"fps_paper": "1/s"}}, "regions"),
        ({"intervals": {"ap": [1, 2]}}, "ap"),
        ({"schema": 2}, "schema 2"),
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
    with pytest.raises(ValueError, match="finite"):
        msgspec.structs.replace(RECORD, values={"ap": value}, units={"ap": ""}, intervals={})


def test_key_is_stable() -> None:
    """A changed key orphans every stored record: do not update these without a reason."""
    assert key(SUBJECT, {"probe": "params", "version": 1}, None) == "e993d0cb"
    assert key(SUBJECT, {"probe": "speed", "version": 1}, MACHINE) == "875875f2"


def test_key_sees_what_matters() -> None:
    protocol = {"probe": "speed", "version": 1, "images": 100}
    others = [
        key(msgspec.structs.replace(SUBJECT, seed=1), protocol, MACHINE),
        key(msgspec.structs.replace(SUBJECT, kernel="native"), protocol, MACHINE),
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
    failure = Failure(type="E", message="m", frames=("f",))
    record = msgspec.structs.replace(RECORD, machine=card, values={}, units={}, intervals={}, error=failure)
    assert decode(encode(record)) == record


def test_torch_is_not_imported() -> None:
    code = (
        "import bench.record, bench.store, bench.planning.plan, bench.planning.recipes, bench.machine, bench.catalog, "
        "bench.cli, sys; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
