"""Cells and results files against each other: found by name, compared on the same objects, refused otherwise."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.accuracy.archive import pack
from bench.accuracy.comparison import Operand, compare, result
from bench.accuracy.evaluate import score, values
from bench.accuracy.matching import Matches, match
from bench.accuracy.protocol import PRESETS
from bench.record import Code, Failure, Machine, Record, Subject
from bench.store import Store
from tests.bench.accuracy.scenes import Scene, scene

OWN = Path(__file__).parents[2] / "golden" / "accuracy"
CELL = "main/effseg-none-seed0/accuracy"


@pytest.fixture(scope="module")
def drawn() -> Scene:
    return scene(5, num_images=8, max_objects=8)


def tables(drawn: Scene) -> list[Matches]:
    return match(drawn.truth, drawn.predictions, [PRESETS["coco"], PRESETS["ap-star"]])


def worse(drawn: Scene) -> Scene:
    """The same data set with a third of the predictions."""
    return Scene(annotations=drawn.annotations, results=drawn.results[::3])


def side(drawn: Scene, name: str = "a result") -> Operand:
    named = {table.protocol.name: table for table in tables(drawn)}
    return Operand(name=name, tables=named, annotations=dict.fromkeys(PRESETS, "sha256:1"))


def keep(
    store: Store, found: list[Matches] | None, *, second: int = 0, probe: str = "accuracy", key: str = "00000000"
) -> Record:
    """Store a record with match tables; without, one with an error."""
    record = Record(
        subject=Subject(head="effseg"),
        protocol={"probe": probe, "version": 1, "annotations": "sha256:1", "lvis": "sha256:2"},
        machine=Machine(cpu="c", cores=1, threads=1, clock_mhz=None, memory_bytes=None, os="o", python="3", torch="2"),
        code=Code(commit=None, dirty=None),
        values=tuple(values(score(found or [], resamples=0))),
        error=Failure(type="OSError", message="the disk is full", frames=()) if found is None else None,
        started=f"2026-01-01T00:00:{second:02}.000000+00:00",
        seconds=1.0,
    )
    return store.add("main", key, record, pack(found) if found else None).record


def test_a_result_equals_itself(drawn: Scene) -> None:
    differences = compare(side(drawn), side(drawn), resamples=200)
    assert {each.protocol for each in differences} == {"coco", "ap-star"}
    assert {"ap", "ap50", "ap_s", "ap_star", "ap_star75"} <= {each.name for each in differences}
    for each in differences:
        assert each.comparison.difference == 0
        assert each.verdict == "not significant"


def test_the_second_is_told_from_the_first(drawn: Scene) -> None:
    differences = {each.name: each for each in compare(side(drawn), side(worse(drawn)), resamples=200)}
    lost = differences["ap"]
    assert lost.verdict == "lower"
    assert {each.name: each for each in compare(side(worse(drawn)), side(drawn), resamples=200)}[
        "ap"
    ].verdict == "higher"
    row = lost.row()
    assert row["difference"] == pytest.approx(lost.comparison.second - lost.comparison.first)
    assert row["difference"] < 0
    assert row["low"] <= row["difference"] <= row["high"] < 0
    assert row["p"] < 0.05


def test_one_image_allows_no_verdict() -> None:
    alone = scene(7, num_images=1, max_objects=8)
    (found, *_) = compare(side(alone), side(worse(alone)), resamples=50)
    assert found.verdict == "too few images"
    assert found.row()["low"] is None


def test_a_cell_by_its_name(tmp_path: Path, drawn: Scene) -> None:
    store = Store(tmp_path)
    keep(store, tables(drawn), second=1, key="00000001")
    keep(store, tables(worse(drawn)), second=2, key="00000002")
    keep(store, tables(drawn), second=0, key="00000003")
    found = result(CELL, tmp_path)
    assert found.name == CELL
    assert len(found.tables["coco"].score) == len(tables(worse(drawn))[0].score), "the newest record counts"
    assert found.annotations["coco"] == "sha256:1"
    assert found.annotations["apb-star"] == "sha256:2"


def test_an_unknown_cell_has_its_neighbours_named(tmp_path: Path, drawn: Scene) -> None:
    with pytest.raises(ValueError, match="and there is none; check the name"):
        result(CELL, tmp_path)
    keep(Store(tmp_path), tables(drawn))
    with pytest.raises(ValueError, match=f"There is no cell .*; expected one such as {CELL}; check the name"):
        result("main/efseg-none-seed0/accuracy", tmp_path)


def test_a_cell_without_accuracy(tmp_path: Path, drawn: Scene) -> None:
    store = Store(tmp_path)
    keep(store, [], probe="speed")
    with pytest.raises(ValueError, match="holds no match tables; expected that of a probe of accuracy"):
        result("main/effseg-none-seed0/speed", tmp_path)
    keep(store, tables(drawn), second=0, key="00000001")
    keep(store, None, second=1, key="00000002")
    with pytest.raises(ValueError, match=r"has an error \(the disk is full\)"):
        result(CELL, tmp_path)


def test_results_files(tmp_path: Path) -> None:
    coco, results = OWN / "coco_annotations.json", str(OWN / "coco_results.json")
    found = result(results, tmp_path, coco=coco)
    assert set(found.tables) == {"coco", "coco-boundary"}
    assert found.annotations["coco"].startswith("sha256:")
    assert all(each.comparison.difference == 0 for each in compare(found, found, resamples=50))
    with pytest.raises(ValueError, match="give at least one annotation file"):
        result(results, tmp_path)


def test_results_files_on_some_images(tmp_path: Path) -> None:
    coco, results = OWN / "coco_annotations.json", str(OWN / "coco_results.json")
    whole, part = (result(results, tmp_path, coco=coco, images=images) for images in (None, [12, 5]))
    assert part.tables["coco"].image_ids.tolist() == [5, 12]
    with pytest.raises(ValueError, match=r"4 only in the first, 0 only in the second.*as `images`"):
        compare(whole, part)


def test_different_objects_are_refused(drawn: Scene) -> None:
    other = replace(side(drawn, "another"), annotations=dict.fromkeys(PRESETS, "sha256:9"))
    with pytest.raises(ValueError, match=r"a result and another were scored by coco on different annotation files"):
        compare(side(drawn), other)
    starred = replace(side(drawn, "another"), tables={"ap-star": tables(drawn)[1]})
    plain = replace(side(drawn), tables={"coco": tables(drawn)[0]})
    with pytest.raises(ValueError, match=r"expected a protocol in common"):
        compare(plain, starred)


def test_different_images_are_refused(drawn: Scene) -> None:
    fewer = match(drawn.truth, drawn.predictions, [PRESETS["coco"]], images=drawn.truth.image_ids[1:].tolist())
    with pytest.raises(ValueError, match="images"):
        compare(side(drawn), replace(side(drawn), tables={"coco": fewer[0]}))
