"""Paired differences: of each seed, of the mean over seeds, and only of what can be compared."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accuracy.significance import paired
from bench.record import Record
from reports.layout import Table
from reports.select.comparable import Comparable, comparable
from reports.select.measured import measured
from reports.select.trained import usual
from reports.tables.differences import (
    PairedDifference,
    claim,
    difference,
    differences,
    not_significant,
    pair,
    with_interval,
)
from tests.reports.embedded_records import AP_STAR, accuracy, demo_records, keep, resamples, trained


def known(folder: Path, *records: Record) -> Comparable:
    return usual(comparable(measured(keep(folder, *records)), "accuracy_true_boxes"))


def shown(folder: Path, *records: Record) -> Table:
    found = known(folder, *records)
    return differences("apart", claim(found.shown), found.sentences())


def labels(table: Table) -> list[str]:
    return [str(row[0]).strip() for row in table.rows]


def test_the_claim_in_its_order_with_seeds_mean_and_spread(tmp_path: Path) -> None:
    table = shown(tmp_path, *demo_records())
    rows = ["seed 0", "seed 1", "seed 2", "mean of 3 seeds", "lowest..highest"]
    pairs = [
        "PointRend++ - Mask R-CNN++",
        "RefineMask++ - PointRend++",
        "EffSeg - RefineMask++",
        "EffSeg - PointRend++",
    ]
    assert labels(table) == [label for name in pairs for label in (name, *rows)]
    assert [column.name for column in table.columns] == [
        "Difference",
        "AP*",
        "APB*",
        "AP",
        "APB",
        "Not significant",
    ]
    marks = {label: table.texts()[4 + 6 * number][-1] for number, label in enumerate(pairs)}
    assert marks == dict.fromkeys(pairs, "") | {"EffSeg - RefineMask++": "all"}


def test_a_difference_is_that_of_the_paired_resamples(tmp_path: Path) -> None:
    records = [accuracy(trained(head), AP_STAR[head]) for head in ("mask_rcnn", "point_rend")]
    (row,) = shown(tmp_path, *records).texts()
    first, second = (resamples(each)["resampled_apb_star"] for each in records)
    expected = paired(first, second)
    assert expected is not None
    low, high = expected[0]
    assert row[2] == f"+5.0 [{low:.1f}, {high:.1f}]"
    assert high - low < 4, "images that are hard for both widen no interval: either alone has one of 8"


def test_the_mean_of_seeds_is_resampled_as_a_whole(tmp_path: Path) -> None:
    seeds = (0, 1, 2)
    first = [accuracy(trained("mask_rcnn", seed=seed), 35.0 + seed) for seed in seeds]
    second = [accuracy(trained("point_rend", seed=seed), 36.0 + 3 * seed) for seed in seeds]
    table = shown(tmp_path, *first, *second)
    changes = np.mean(
        [resamples(b)["resampled_ap"] - resamples(a)["resampled_ap"] for a, b in zip(first, second, strict=True)],
        axis=0,
    )
    expected = paired(np.zeros_like(changes), changes)
    assert expected is not None
    low, high = expected[0]
    assert table.texts()[4][3] == f"+3.0 [{low:.1f}, {high:.1f}]"
    assert table.texts()[5][3] == "+1.0..+5.0"
    assert [text[3].split(" ")[0] for text in table.texts()[1:4]] == ["+1.0", "+3.0", "+5.0"]
    assert "Mean of seeds" in " ".join(table.caption)
    assert "not of the noise of training" in " ".join(table.caption)


def test_only_seeds_that_both_have(tmp_path: Path) -> None:
    records = [
        accuracy(trained(head, seed=seed), 40.0)
        for head, seeds in (("mask_rcnn", (0, 1)), ("point_rend", (1, 2)), ("refine_mask", (0,)))
        for seed in seeds
    ]
    table = shown(tmp_path, *records)
    assert labels(table) == ["PointRend++ - Mask R-CNN++"]
    assert "Pairs in a single row: seed 1 alone." in table.caption


@pytest.mark.parametrize(
    ("protocol", "images", "said"),
    [({"images": "first 6"}, 200, "images"), ({"lvis": "sha256:other"}, 200, "lvis"), ({}, 199, "number of images")],
)
def test_what_cannot_be_compared_is_said_instead(
    tmp_path: Path, protocol: dict[str, str], images: int, said: str
) -> None:
    first = [accuracy(trained("mask_rcnn", seed=seed), 35.0, second=1) for seed in (0, 1)]
    second = (
        accuracy(trained("point_rend"), 40.0, second=1),
        accuracy(trained("point_rend", seed=1), 40.0, protocol=protocol, images=images),
    )
    table = shown(tmp_path, *first, *second)
    assert labels(table) == ["PointRend++ - Mask R-CNN++"]
    sentence = "Left out of accuracy_true_boxes, because measured otherwise than the newest: "
    assert table.caption[-1] == f"{sentence}PointRend++ seed 1 ({said})."


def test_the_weights_that_a_model_started_from_do_not_matter(tmp_path: Path) -> None:
    table = shown(
        tmp_path,
        accuracy(trained("mask_rcnn"), 35.0, protocol={"initial": "file"}),
        accuracy(trained("point_rend"), 40.0, protocol={"initial": "random"}),
    )
    assert table.texts()[0][1].startswith("+5.0 [")


def test_without_resamples_there_is_no_interval_and_no_verdict() -> None:
    records = [accuracy(trained(head), 40.0) for head in ("mask_rcnn", "point_rend")]
    table = differences("apart", claim(measured(records)))
    assert table.texts() == [["PointRend++ - Mask R-CNN++", "+0.0", "+0.0", "+0.0", "+0.0", ""]]


def test_resamples_that_are_not_there(tmp_path: Path) -> None:
    records = [accuracy(trained(head), 40.0) for head in ("mask_rcnn", "point_rend")]
    store = keep(tmp_path, *records)
    for entry in store:
        entry.path.with_suffix(".npz").unlink()
    (row,) = differences("apart", claim(measured(store))).texts()
    assert row[1] == "+0.0"


def test_a_value_that_one_lacks_has_no_difference(tmp_path: Path) -> None:
    full, other = (accuracy(trained(head), 40.0) for head in ("mask_rcnn", "effseg"))
    fewer = msgspec.structs.replace(other, values=tuple(value for value in other.values if value.name != "ap"))
    first, second = known(tmp_path, full, fewer).shown
    assert difference("ap", [first], [second]) is None
    assert differences("apart", [pair("B - A", [first], [second])]).texts()[0][3] == ""


def test_other_storages_are_no_part_of_the_claim(tmp_path: Path) -> None:
    records = [accuracy(trained("refine_mask"), 40.0), accuracy(trained("effseg", backend="dense"), 41.0)]
    assert shown(tmp_path, *records).rows == ()


bounds = st.floats(-50, 50)


@given(bounds, bounds, bounds)
def test_significant_is_an_interval_without_zero(points: float, one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    found = PairedDifference(points=points, interval=(low, high))
    mirrored = PairedDifference(points=-points, interval=(-high, -low))
    assert found.significant == mirrored.significant == (low > 0 or high < 0)
    assert "-0.0" not in with_interval(found.number(None))


def test_names_of_what_is_not_significant() -> None:
    yes, no, unknown = (PairedDifference(points=1.0, interval=of) for of in ((0.5, 2.0), (-0.5, 2.0), None))
    assert not_significant({"a": yes, "b": no, "c": no}) == "b, c"
    assert not_significant({"a": no, "b": no}) == "all"
    assert not_significant({"a": no}) == "a"
    assert not_significant({"a": unknown, "b": yes}) == not_significant({}) == ""
    assert with_interval(unknown.number(None)) == "+1.0"
