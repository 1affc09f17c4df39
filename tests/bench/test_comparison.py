"""Costs of two cells: resampled by images where there are any, exact where there are none, refused where unlike."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import bench
from bench import cli
from bench.accuracy.comparison import Operand
from bench.comparison import FEWEST_IMAGES, Compared, compare
from bench.record import Code, Failure, Machine, Record, Scalar, Subject, Value, rows
from bench.store import Store

NUM_IMAGES = 40
IMAGES: dict[str, Scalar] = {"images": "first 40", "annotations": "sha256:1", "lvis": None}
EASE = np.random.default_rng(0).uniform(1, 3, NUM_IMAGES)
"""What the images have in common: both heads are slow on the same ones."""


def keep(
    store: Store,
    head: str,
    probe: str,
    values: tuple[Value, ...],
    samples: Mapping[str, np.ndarray] | None = None,
    *,
    cpu: str = "epyc",
    second: int = 0,
    error: Failure | None = None,
    files: Mapping[str, bytes] | None = None,
    **protocol: Scalar,
) -> None:
    machine = Machine(cpu=cpu, cores=2, threads=2, clock_mhz=None, memory_bytes=None, os="os", python="3", torch="2")
    record = Record(
        subject=Subject(head=head),
        protocol={"probe": probe, "version": 1, **protocol},
        machine=machine,
        code=Code(commit=None, dirty=None),
        values=values,
        error=error,
        started=f"2026-01-01T00:00:{second:02}.000000+00:00",
        seconds=1.0,
    )
    store.add("demo", f"{second:08}", record, samples, files)


def keep_speed(store: Store, head: str, ms: np.ndarray, **changes: object) -> None:
    values = (
        *rows({"images": len(ms)}, "images"),
        *rows({"latency_ms_median": float(np.median(ms)), "latency_ms_p95": float(ms.max())}, "ms"),
    )
    keep(store, head, "speed", values, {"latency_ms_total": ms}, **{**IMAGES, **changes})


def keep_params(store: Store, head: str, count: int, **changes: object) -> None:
    keep(store, head, "params", tuple(rows({"params_head": count}, "parameters")), **changes)


def compared(store: Store, first: str = "demo/a-none-seed0", second: str = "demo/b-none-seed0") -> list[Compared]:
    def scored(operand: str) -> Operand:
        raise AssertionError(f"{operand} is no file")

    return compare(first, second, store.directory, scored=scored, resamples=200)


def of_probe(store: Store, probe: str) -> Compared:
    (found,) = compared(store, f"demo/a-none-seed0/{probe}", f"demo/b-none-seed0/{probe}")
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_pairing_sees_what_two_intervals_do_not(store: Store) -> None:
    """Images differ by a factor of three, heads by 4 %: only image by image is that clear."""
    noise = np.random.default_rng(1).normal(1, 0.01, (2, NUM_IMAGES))
    keep_speed(store, "a", 10 * EASE * noise[0])
    keep_speed(store, "b", 10.4 * EASE * noise[1])
    found = of_probe(store, "speed")
    (median,) = found.costs
    row = median.row()
    assert (row["probe"], row["name"], row["unit"], row["verdict"]) == ("speed", "latency_ms_median", "ms", "higher")
    assert row["ratio"] == pytest.approx(1.04, abs=0.02)
    assert 1 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"] < 1.1
    assert 0 < row["low"] <= row["difference"] <= row["high"]
    assert row["p"] < 0.05
    unpaired = np.std([np.median(np.random.default_rng(seed).choice(10 * EASE, NUM_IMAGES)) for seed in range(200)])
    assert row["difference"] < 1.96 * unpaired, "alone, either interval is wider than the difference"
    (note,) = found.notes
    assert "latency_ms_p95" in note


def test_what_is_not_significant(store: Store) -> None:
    noise = np.random.default_rng(1).normal(1, 0.1, (2, NUM_IMAGES))
    keep_speed(store, "a", EASE * noise[0])
    keep_speed(store, "b", EASE * noise[1])
    (median,) = of_probe(store, "speed").costs
    assert median.verdict == "not significant"
    assert median.ratio_interval is not None
    assert median.ratio_interval[0] < 1 < median.ratio_interval[1]


def test_few_images_allow_no_verdict(store: Store) -> None:
    keep_speed(store, "a", EASE[: FEWEST_IMAGES - 1])
    keep_speed(store, "b", 2 * EASE[: FEWEST_IMAGES - 1])
    (median,) = of_probe(store, "speed").costs
    assert (median.verdict, median.comparison.interval, median.ratio) == ("too few images", None, pytest.approx(2))


def test_counts_without_images_are_exact(store: Store) -> None:
    keep_params(store, "a", 100)
    keep_params(store, "b", 150)
    (found,) = of_probe(store, "params").costs
    assert found.exact
    assert (found.comparison.difference, found.ratio, found.verdict) == (50, 1.5, "higher")
    assert found.row()["low"] is None


def test_the_same_on_every_image_is_equal(store: Store) -> None:
    for head, factor in (("a", 1), ("b", 2)):
        macs = {"macs_backbone": np.arange(1, 9), "macs_head": factor * np.arange(1, 9)}
        values = (*rows({"images": 8}, "images"), *rows({name: float(of.mean()) for name, of in macs.items()}, "MACs"))
        keep(store, head, "flops", values, macs, cpu=f"cpu {head}", kind="measured", **IMAGES)
    found = {each.name: each for each in of_probe(store, "flops").costs}
    assert (found["macs_backbone"].verdict, found["macs_backbone"].exact) == ("equal", True)
    assert (found["macs_head"].verdict, found["macs_head"].ratio_interval) == ("higher", (2, 2))


def test_times_of_two_machines_are_refused_and_the_rest_is_compared(store: Store) -> None:
    for head, cpu in (("a", "epyc"), ("b", "xeon")):
        keep_speed(store, head, EASE, cpu=cpu)
        keep_params(store, head, 100, cpu=cpu)
    with pytest.raises(ValueError, match=r"hold times of two machines \(cpu epyc and xeon\).*measure both there"):
        of_probe(store, "speed")
    params, speed = compared(store)
    assert (params.probe, [each.verdict for each in params.costs]) == ("params", ["equal"])
    assert not speed.differences
    assert "times of two machines" in speed.notes[0]
    assert [
        each.probe for each in bench.compare("demo/a-none-seed0", "demo/b-none-seed0", results=store.directory)
    ] == ["params"]


def test_other_images_are_refused(store: Store) -> None:
    keep_speed(store, "a", EASE)
    keep_speed(store, "b", EASE[:20], images="first 20")
    with pytest.raises(ValueError, match=r"not of the same images \(images first 40 and first 20\)"):
        of_probe(store, "speed")
    keep_speed(store, "b", EASE, second=1, files={"skipped.json": b"[1]"})
    with pytest.raises(ValueError, match=r"not of the same images \(skipped None and sha256:"):
        of_probe(store, "speed")


def test_other_ways_to_measure_are_said(store: Store) -> None:
    keep_speed(store, "a", EASE, dtype="float32")
    keep_speed(store, "b", EASE / 2, dtype="bfloat16")
    found = of_probe(store, "speed")
    assert [each.verdict for each in found.costs] == ["lower"]
    assert "dtype float32 and bfloat16" in found.notes[0]


def test_what_cannot_be_compared_says_why(store: Store) -> None:
    keep_params(store, "a", 100)
    keep_speed(store, "b", EASE)
    with pytest.raises(
        ValueError, match="was measured by params, demo/b-none-seed0 by speed; expected a probe that both"
    ):
        compared(store)
    with pytest.raises(
        ValueError, match="measured by params 1, demo/b-none-seed0/speed by speed 1; expected one probe"
    ):
        compared(store, "demo/a-none-seed0/params", "demo/b-none-seed0/speed")
    with pytest.raises(ValueError, match="Only demo/a-none-seed0/params names a probe; expected two cells or two subj"):
        compared(store, "demo/a-none-seed0/params", "demo/b-none-seed0")
    with pytest.raises(ValueError, match=r"There is no results file demo/c, so it should be a cell. There is no cell"):
        compared(store, "demo/c", "demo/b-none-seed0")
    failure = Failure(type="OSError", message="the disk is full", frames=())
    keep(store, "b", "params", (), error=failure)
    with pytest.raises(ValueError, match=r"Nothing of .* can be compared; .* has an error \(the disk is full\)"):
        compared(store)


def test_the_command_line_shows_all_costs_in_one_table(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for head, factor in (("a", 1), ("b", 3)):
        keep_params(store, head, 100 * factor)
        keep_speed(store, head, EASE * factor)
    arguments = ["compare", "demo/a-none-seed0", "demo/b-none-seed0", "--results", str(store.directory), "--json", "-"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    ratios = {row["name"]: row["ratio"] for row in map(json.loads, out.splitlines())}
    assert ratios == {"params_head": 3, "latency_ms_median": pytest.approx(3)}
    assert err.count("demo/b-none-seed0 against demo/a-none-seed0") == 1
    assert "speed: Left out, because nothing says how sure their differences are: latency_ms_p95" in err


def test_lost_samples_are_said(store: Store) -> None:
    for head in "ab":
        keep_speed(store, head, EASE)
    next(store.directory.rglob("a-none-seed0/*.npz")).unlink()
    with pytest.raises(ValueError, match=r"demo/a-none-seed0/speed has lost its samples, .*; restore the file"):
        of_probe(store, "speed")


def test_times_without_images_say_nothing(store: Store) -> None:
    for head in "ab":
        keep(store, head, "backend_speed", tuple(rows({"ms": 1.0}, "ms", stage=1)))
    with pytest.raises(ValueError, match="kept no numbers of single images and counts nothing exactly"):
        of_probe(store, "backend_speed")
