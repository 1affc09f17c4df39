"""What `explain` says of a record, and what it must not leave out."""

from pathlib import Path

import msgspec
import pytest

import bench
from bench import machine
from bench.record import Code, Failure, Record, Subject, Value
from bench.store import Store

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CELL = "heads/effseg-12ep-seed0/speed"


def record(**changes: object) -> Record:
    """A record without any reason for caution but its seed and its clock, changed."""
    whole = Record(
        subject=Subject(head="effseg", schedule="12ep", weights="sha256:0"),
        protocol={"probe": "speed", "version": 1, "images": "all", "dtype": "float32"},
        machine=machine.card(),
        code=Code(commit=COMMIT, dirty=False),
        values=(Value(name="fps_paper", value=11.25, unit="1/s"),),
        started="2026-01-01T00:00:00.000000+00:00",
        seconds=1.0,
    )
    return msgspec.structs.replace(whole, **changes)


def cautions(tmp_path: Path, **changes: object) -> str:
    made = record(**changes)
    entry = Store(tmp_path).add("heads", "0123abcd", made)
    return "\n".join(bench.explain(entry.cell, tmp_path).cautions)


def test_what_is_explained(tmp_path: Path) -> None:
    Store(tmp_path).add("heads", "0123abcd", record())
    found = bench.explain(CELL, tmp_path)
    assert found.entry.record == record()
    assert found.what.startswith("Latency of every image")
    assert "Outside: reading" in found.what
    assert found.others == ()
    assert len(found.cautions) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "one training, seed 0"),
        ({}, f"Times are of {machine.card().name}"),
        ({"code": Code(commit=None, dirty=None)}, "outside a git checkout"),
        ({"code": Code(commit=COMMIT, dirty=True)}, "Files differed from commit 0123456789ab"),
        ({"protocol": {"probe": "speed", "version": 0}}, "had version 0 and has 1 now"),
        ({"protocol": {"probe": "speed", "version": 1, "kind": "nominal"}}, "No image was looked at"),
        ({"protocol": {"probe": "speed", "version": 1, "images": "first 20"}}, "over the first 20 images"),
        ({"protocol": {"probe": "speed", "version": 1, "detections": "ground_truth"}}, "boxes are true ones"),
        ({"protocol": {"probe": "speed", "version": 1, "dtype": "bfloat16"}}, "were bfloat16"),
        ({"values": (Value(name="fps", value=11.5, interval=(11.0, 12.0)),)}, "nothing of training seeds"),
        ({"uncounted": ("nms",)}, "leaves out: nms"),
        ({"values": (Value(name="images_skipped", value=3),)}, "3 images could not be read"),
        ({"machine": msgspec.structs.replace(machine.card(), cpu="another")}, "not this machine"),
    ],
)
def test_cautions(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    assert said in cautions(tmp_path, **changes)
    whole = set(cautions(tmp_path / "whole").splitlines())
    assert not changes or said not in whole


def test_random_weights_and_failures(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failure = Failure(type="RuntimeError", message="no memory", frames=())
    store.add("heads", "0123abcd", record(subject=Subject(head="effseg"), values=(), error=failure))
    said = bench.explain("heads/effseg-none-seed0/speed", tmp_path).cautions
    assert said[0] == "It failed and has no values: RuntimeError: no memory"
    assert any(caution.startswith("The weights are random") for caution in said)


def test_the_newest_is_explained_and_the_others_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    newer = store.add("heads", "00000001", record(started="2026-01-02T00:00:00.000000+00:00"))
    older = store.add("heads", "00000002", record())
    found = bench.explain(CELL, tmp_path)
    assert (found.entry, found.others) == (newer, (older,))


def test_unknown_cells(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one that `run` has measured, and there is none; check the name"):
        bench.explain(CELL, tmp_path)
    Store(tmp_path).add("heads", "0123abcd", record())
    with pytest.raises(ValueError, match=f"expected one such as {CELL}; check .* run_bench.py run heads"):
        bench.explain("heads/efseg-12ep-seed0/speed", tmp_path)
