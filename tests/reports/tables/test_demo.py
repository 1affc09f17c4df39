"""The tables of the heads trained on the embedded data."""

from pathlib import Path

import pytest
from rich.console import Console
from rich.measure import Measurement

from bench.record import Record
from reports.choice import tables_of
from reports.layout import Table
from reports.renderers.terminal import terminal
from reports.select.measured import measured
from reports.tables import demo, studies
from tests.reports.embedded_records import AP_STAR, accuracy, demo_records, keep, record, trained

TITLES = [
    "Heads on true boxes",
    "Heads on detected boxes",
    "Heads on detected boxes, AP by overlap and size",
    "Who draws better outlines, on true boxes",
    "Who draws better outlines, on detected boxes",
    "What separates the heads, on true boxes",
    "What separates the heads, on detected boxes",
    "Cost of the heads",
    "Costs at 10 and 100 regions",
    "Boxes of the common detector",
    "Class-agnostic heads on true boxes",
    "What separates class-agnostic heads, on true boxes",
    "Processing modules of EffSeg on true boxes",
    "What separates the modules from SFM, on true boxes",
    "Where should EffSeg refine?",
    "What does accuracy cost?",
]
NAMES = ["Mask R-CNN++", "PointRend++", "RefineMask++", "EffSeg"]


def shown(title: str, *records: Record) -> Table:
    (found,) = [table for table in demo.tables(measured(records)) if table.title == title]
    return found


def test_all_tables_in_their_order_and_narrow_enough_for_a_terminal(tmp_path: Path) -> None:
    tables = tables_of("demo", measured(keep(tmp_path, *demo_records())))
    assert [table.title for table in tables] == TITLES
    console = Console(width=120)
    for table in tables:
        needed = Measurement.get(console, console.options.update(max_width=1000), terminal(table)).maximum
        assert needed <= 120, table.title


def test_four_heads_with_the_mean_of_their_seeds_beside_spread_and_interval() -> None:
    table = shown(TITLES[0], *demo_records())
    assert [column.name for column in table.columns][:4] == ["Head", "AP*", "seeds", "95%"]
    assert [row[0] for row in table.rows] == NAMES
    assert table.texts()[0][:4] == ["Mask R-CNN++", "35.4", "35.0..35.8", "32.5-37.5"]
    assert table.texts()[3][4:7] == ["32.6", "32.2..33.0", "29.7-34.7"]
    caption = " ".join(table.caption)
    assert "AP*, APB*: fine annotations, rules of LVIS, sha256:fine0123, 200 images, 20 classes." in caption
    assert "AP, APB: coarse annotations, rules of COCO, sha256:coarse01, 200 images, 20 classes." in caption
    assert "Means of seeds 0, 1, 2." in caption


def test_boxes_of_the_detector_have_one_row() -> None:
    made = [record(trained(head), "box_accuracy", {"box_ap": 55.0, "images": 200}) for head in ("mask_rcnn", "effseg")]
    table = shown("Boxes of the common detector", *made)
    assert table.texts() == [["small_fpn", "55.0", "", "", "", "", "", ""]]


def test_one_seed_has_no_spread() -> None:
    table = shown(TITLES[1], *demo_records())
    assert [column.name for column in table.columns] == ["Head", "AP*", "95%", "APB*", "95%", "AP", "95%"]
    assert [row[1] for row in table.rows] == [ap - 8 for ap in AP_STAR.values()]
    assert "Seed 0." in table.caption


def test_seeds_that_differ_by_head_are_said() -> None:
    seeds = [("mask_rcnn", 0), ("mask_rcnn", 2), ("effseg", 0)]
    table = shown(TITLES[0], *(accuracy(trained(head, seed=seed), 40.0) for head, seed in seeds))
    assert "Means of seeds 0, 2: Mask R-CNN++; seed 0: EffSeg." in table.caption
    assert table.texts()[1][2] == ""


def test_sizes_show_what_exists() -> None:
    table = shown(TITLES[2], *demo_records())
    assert table.texts()[0] == ["Mask R-CNN++", "25.0", "47.0", "28.0", "12.0", "29.0", ""]


def test_rows_are_of_the_same_images() -> None:
    newer = accuracy(trained("effseg"), 90.0, protocol={"images": "first 6"}, second=1)
    table = shown(TITLES[0], *demo_records(), newer)
    assert [row[0] for row in table.rows] == ["EffSeg"]
    assert "Mask R-CNN++ seed 0, Mask R-CNN++ seed 1" in table.caption[-1]
    assert "agnostic" not in table.caption[-1], "only what the table is about"


def test_other_storages_and_heads_have_rows_of_their_own() -> None:
    others = [accuracy(trained("effseg", backend="dense"), 44.0), accuracy(trained("my_head"), 50.0)]
    table = shown(TITLES[0], *demo_records(), *others)
    assert [row[0] for row in table.rows] == [*NAMES, "EffSeg (dense)", "my_head"]


@pytest.mark.parametrize("weights", ["random", "sha256:1"])
def test_random_weights_have_costs_and_no_accuracy(weights: str) -> None:
    subject = trained("effseg", weights=weights)
    records = [accuracy(subject, 1.0), record(subject, "params", {"params_total": 1e6, "params_head": 1e5})]
    titles = [table.title for table in tables_of("demo", measured(records))]
    assert titles == [*([TITLES[0]] if weights != "random" else []), "Cost of the heads"]


def test_nothing_measured_is_no_table() -> None:
    assert not any(table.has_numbers for table in demo.tables([]))
    assert studies.policies([]) == studies.budgets([]) == tables_of("demo", []) == []
