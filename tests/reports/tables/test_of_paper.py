"""Tables: the paper's numbers as published, ours beside them, nothing shown that means nothing."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import reports
from bench.record import Failure, Record, Scalar, Subject
from bench.store import Store
from reports import paper
from reports.cells import Number, record_of, title_of
from reports.layout import Column
from tests.reports.invented import invented

GOLDEN = Path(__file__).parents[2] / "golden"


def subject(head: str, schedule: str = "none", backend: str = "sps", weights: str = "random") -> Subject:
    is_effseg = head == "effseg"
    return Subject(
        head=head,
        backend=backend if is_effseg else None,
        module="sfm" if is_effseg else None,
        backbone="r50_fpn",
        preset="paper",
        schedule=schedule,
        weights=weights,
    )


def record(
    of: Subject,
    probe: str,
    values: dict[str, float],
    *,
    intervals: dict[str, tuple[float, float]] | None = None,
    second: int = 0,
    cpu: str = "epyc",
    **conditions: Scalar,
) -> Record:
    protocol: dict[str, Scalar] = {"probe": probe, "version": 1}
    if probe == "flops":
        protocol |= {"kind": "nominal", "regions": "97" if of.head != "effseg" else "60, 61"}
    return invented(of, protocol | conditions, values, unit="u", intervals=intervals, second=second, cpu=cpu)


RECORDS = [
    record(subject("mask_rcnn"), "params", {"params_trainable": 37_488_266, "params_head": 2_906_192}),
    record(
        subject("mask_rcnn"),
        "flops",
        {"macs": 220.46e9, "macs_paper": 235.36e9, "macs_head": 55.5e9, "macs_head_paper": 70.44e9, "regions": 97},
    ),
    record(subject("effseg"), "params", {"params_trainable": 38_809_546, "params_head": 4_208_872}),
    record(
        subject("effseg"),
        "flops",
        {"macs": 245.24e9, "macs_paper": 245.24e9, "macs_head": 80.3e9, "macs_head_paper": 80.3e9, "regions": 60.5},
    ),
    record(subject("effseg"), "speed", {"fps_paper": 0.25}),
    record(subject("effseg"), "accuracy", {"ap": 3.7, "ap_star": 3.9, "apb_star": 1.7}),
]


def cell(table: reports.Table, row: str, column: str, *, nth: int = 0) -> object:
    """Value in the first row whose last label starts with `row`; `nth` of the columns of that name."""
    columns = [i for i, found in enumerate(table.columns) if found.name == column]
    (first, *_) = [values for values in table.rows if row in values]
    return first[columns[nth]]


@pytest.mark.parametrize(
    ("number", "rows"), [(3, paper.TABLE3), (4, paper.TABLE4), (5, paper.TABLE5)], ids=["table3", "table4", "table5"]
)
def test_paper_is_as_published(number: int, rows: tuple[paper.Row, ...]) -> None:
    root = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared"))
    file = root / "paper" / f"table{number}.csv"
    if not file.is_file():
        pytest.skip(f"no published tables: {file} is not there; set BENCH_TEST_DATA to the folder that holds paper/")
    with file.open() as lines:
        published = list(csv.DictReader(lines))
    assert len(rows) == len(published)
    for row, expected in zip(rows, published, strict=True):
        assert paper.HEADS[row.head] == expected["head"]
        assert row.schedule.removesuffix("ep") == expected.get("epochs", "12")
        assert paper.BACKBONES[row.backbone] == expected.get("backbone", "R50+FPN")
        if "module" in expected:
            assert row.module is not None
            assert paper.MODULES[row.module] == expected["module"]
        named = {name.replace("gmacs", "gflops"): value for name, value in row.values.items()}
        assert named == {name: float(expected[name]) for name in named}
        costs_alone = {"params_decrease_pct", "gflops_decrease_pct", "fps_gain_pct"}
        assert expected.keys() - named.keys() <= {"head", "module", "backbone", "detector", "epochs"} | costs_alone


def test_table2_is_as_published() -> None:
    root = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared"))
    file = root / "paper" / "table2.csv"
    if not file.is_file():
        pytest.skip(f"no published tables: {file} is not there; set BENCH_TEST_DATA to the folder that holds paper/")
    with file.open() as lines:
        for row, expected in zip(paper.TABLE2, csv.DictReader(lines), strict=True):
            assert row.backend.replace("_", "") == expected["method"].lower()
            assert (row.example or "") == expected["example"]
            for ability in ("computationally_efficient", "access_to_neighbors", "supports_any_2d_operation"):
                assert getattr(row, ability) == (expected[ability] == "yes")
            assert row.storage_efficient == (expected["storage_efficient"] == "yes")


def test_row_ids_are_unique() -> None:
    ids = [row.id for row in (*paper.TABLE2, *paper.TABLE3, *paper.TABLE4, *paper.TABLE5)]
    assert len(set(ids)) == len(ids) == 5 + 12 + 4 + 5


def test_markdown_golden(tmp_path: Path) -> None:
    """The whole document of a small store. To renew it, look at the difference, then copy the new text."""
    store = Store(tmp_path)
    for number, made in enumerate(RECORDS):
        store.add("main", f"{number:08x}", made)
    tables = [reports.table(name, tmp_path) for name in reports.TABLES]
    assert reports.document(each for each in tables if each.has_numbers) == (GOLDEN / "tables.md").read_text(
        encoding="utf-8"
    )


def test_values_and_differences() -> None:
    table = reports.table("main", RECORDS)
    assert cell(table, "Mask R-CNN++", "Params (M)") == pytest.approx(37.488266)
    assert cell(table, "Mask R-CNN++", "paper") == 37.5
    assert cell(table, "Mask R-CNN++", "diff") == pytest.approx(37.488266 - 37.5)
    assert cell(table, "Mask R-CNN++", "GMACs (paper: GFLOPs)") == pytest.approx(235.36)
    assert cell(table, "Mask R-CNN++", "GMACs, correct") == pytest.approx(220.46)
    assert cell(table, "EffSeg", "Regions") == 60.5
    assert cell(table, "EffSeg", "FPS") == 0.25
    assert cell(table, "PointRend++", "Params (M)") is None
    heads = reports.table("heads", RECORDS)
    assert cell(heads, "Mask R-CNN++", "GMACs (paper: GFLOPs)") == pytest.approx(70.44)
    assert cell(heads, "Mask R-CNN++", "paper", nth=1) == 70.3


def test_schedules_share_what_random_weights_cost() -> None:
    rows = [row for row in reports.table("main", RECORDS).rows if "EffSeg" in row]
    assert [row[:3] for row in rows] == [
        ("R50+FPN", "EffSeg", "12"),
        ("R50+FPN", "EffSeg", "24"),
        ("R50+DefEnc", "EffSeg", "12"),
    ]
    assert rows[0][3] == rows[1][3] == pytest.approx(38.809546)
    assert rows[2][3] is None


def test_accuracy_of_random_weights_is_never_shown() -> None:
    table = reports.table("main", RECORDS)
    assert "AP" not in [column.name for column in table.columns]
    assert any("accuracy of random weights is never shown" in sentence for sentence in table.caption)
    trained = record(subject("effseg", "12ep", weights="sha256:0"), "accuracy", {"ap": 39.8})
    table = reports.table("main", [*RECORDS, trained])
    assert cell(table, "EffSeg", "AP") == 39.8
    assert cell(table, "EffSeg", "paper") == 40.1
    # The costs of the second row are those of random weights; of the third, nothing was measured.
    assert [row[3] for row in table.rows if "EffSeg" in row] == [39.8, "untrained", None]
    assert "untrained: only random weights were measured" in " ".join(table.caption)


@pytest.mark.parametrize(("interval", "said"), [((39.0, 40.2), "yes"), ((39.0, 40.0), "no"), (None, "")])
def test_the_papers_accuracy_is_inside_our_interval_or_not(interval: tuple[float, float] | None, said: str) -> None:
    intervals = {} if interval is None else {"ap": interval}
    trained = record(subject("effseg", "12ep", weights="sha256:0"), "accuracy", {"ap": 39.8}, intervals=intervals)
    table = reports.table("main", [trained])
    assert cell(table, "EffSeg", "inside") == said
    assert cell(table, "EffSeg", "diff") == pytest.approx(39.8 - 40.1)
    assert cell(table, "EffSeg", "95%") == ("" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f}")


def test_the_best_of_a_schedule_is_bold() -> None:
    values = {"mask_rcnn": 38.0, "effseg": 40.0, "point_rend": 39.99}
    made = [record(subject(head, "12ep", weights="sha256:0"), "accuracy", {"ap": ap}) for head, ap in values.items()]
    alone = record(subject("mask_rcnn", "24ep", weights="sha256:0"), "accuracy", {"ap": 50.0})
    table = reports.table("main", [*made, alone])
    assert [table.rows[row][1] for row, _ in sorted(table.best())] == ["PointRend++", "EffSeg"], "what looks alike ties"


def test_what_failed_says_so() -> None:
    failed = msgspec.structs.replace(RECORDS[1], values=(), error=Failure(type="E", message="m", frames=()))
    table = reports.table("heads", [*RECORDS[2:], failed])
    assert cell(table, "Mask R-CNN++", "GMACs (paper: GFLOPs)") == "failed"
    assert cell(table, "Mask R-CNN++", "Params (M)") is None
    assert cell(reports.table("heads", [*RECORDS, failed]), "Mask R-CNN++", "Regions") == 97
    assert cell(reports.table("heads", [failed]), "Mask R-CNN++", "Regions") == "failed"


def test_cells_lead_to_their_records(tmp_path: Path) -> None:
    made = record(subject("effseg"), "params", {"params_head": 4_208_872}, intervals={"params_head": (4e6, 5e6)})
    entry = Store(tmp_path).add("heads", "0000abcd", made)
    found = cell(reports.table("heads", tmp_path), "EffSeg", "Params (M)")
    assert isinstance(found, Number)
    place = record_of(found)
    assert place is not None
    assert tmp_path / place == entry.path
    assert title_of(found) == "interval 4 to 5; params: version 1; epyc-2c; 2026-01-01"


def test_the_newest_counts() -> None:
    newer = record(subject("effseg"), "params", {"params_trainable": 1e6}, second=9)
    for records in ([*RECORDS, newer], [newer, *RECORDS]):
        assert cell(reports.table("main", records), "EffSeg", "Params (M)") == 1.0


def test_nominal_costs_count_for_random_weights() -> None:
    nominal = record(subject("effseg"), "flops", {"regions": 60.5})
    on_images = record(subject("effseg"), "flops", {"regions": 3}, second=9, kind="measured", regions=None)
    table = reports.table("main", [nominal, on_images])
    assert cell(table, "EffSeg", "Regions") == 60.5
    assert "Left out" not in " ".join(table.caption), "what random weights find in images means nothing"
    assert cell(reports.table("main", [on_images]), "EffSeg", "Regions") == 3


def test_what_was_measured_otherwise_is_left_out_and_said() -> None:
    def trained(head: str, dtype: str, second: int) -> Record:
        of = subject(head, "12ep", weights="sha256:0")
        return record(of, "accuracy", {"ap": 40.0}, second=second, dtype=dtype)

    heads = ["mask_rcnn", "effseg", "point_rend"]
    dtypes = ["bfloat16", "float32", "float32"]
    table = reports.table("main", [trained(*each) for each in zip(heads, dtypes, range(3), strict=True)])
    assert cell(table, "Mask R-CNN++", "AP") == "left out"
    assert cell(table, "EffSeg", "AP") == cell(table, "PointRend++", "AP") == 40.0
    assert "left out: measured otherwise than the newest." in table.caption
    assert "Left out of accuracy, because measured otherwise than the newest: Mask R-CNN++ (dtype)." in table.caption


def test_what_belongs_to_no_row_leaves_nothing_out() -> None:
    known = record(subject("effseg"), "params", {"params_trainable": 1e6})
    other = record(subject("effseg", "6ep"), "params", {"params_trainable": 2e6}, second=9, version=2)
    table = reports.table("main", [known, other])
    assert cell(table, "EffSeg", "Params (M)") == 1.0
    assert "Left out" not in " ".join(table.caption)


def test_speeds_are_those_of_one_machine() -> None:
    other = record(subject("mask_rcnn"), "speed", {"fps_paper": 9.0}, cpu="xeon")
    later = record(subject("effseg"), "speed", {"fps_paper": 0.5}, second=9)
    table = reports.table("main", [other, later])
    assert cell(table, "Mask R-CNN++", "FPS") == "left out"
    assert "Left out of speed, because measured otherwise than the newest: Mask R-CNN++ (machine)." in table.caption
    assert cell(table, "PointRend++", "FPS") is None
    assert cell(table, "EffSeg", "FPS") == 0.5
    assert "FPS: ours on epyc-2c, the paper's on an A100." in table.caption


def test_new_heads_and_modules_have_rows_without_published_numbers() -> None:
    mine = msgspec.structs.replace(subject("mask_rcnn"), head="my_head")
    module = msgspec.structs.replace(subject("effseg"), module="my_module")
    values = {"params_trainable": 40e6, "params_head": 5e6}
    records = [*RECORDS, record(mine, "params", values), record(module, "params", values)]
    for name in ("main", "heads"):
        (row,) = [row for row in reports.table(name, records).rows if "my_head" in row]
        assert row == reports.table(name, records).rows[-1]
    assert cell(reports.table("main", records), "my_head", "Params (M)") == 40
    assert cell(reports.table("main", records), "my_head", "paper") is None
    assert cell(reports.table("modules", records), "my_module", "Params (M)") == 40
    assert not [row for row in reports.table("heads", records).rows if "my_module" in row]


def test_other_backends_have_their_own_rows() -> None:
    dense = record(subject("effseg", backend="dense"), "params", {"params_trainable": 2e6})
    table = reports.table("modules", [*RECORDS, dense])
    assert [row[0] for row in table.rows] == ["MLP", "Conv", "DeformConv", "SFM", "SFM (dense)", "Dense SFM"]
    assert cell(table, "SFM (dense)", "Params (M)") == 2.0


def test_only_the_papers_sizes() -> None:
    small = msgspec.structs.replace(RECORDS[0], subject=msgspec.structs.replace(RECORDS[0].subject, preset="small"))
    failed = msgspec.structs.replace(small, values=(), error=Failure(type="E", message="m", frames=()))
    table = reports.table("main", [small, failed])
    assert [column.name for column in table.columns] == ["Backbone", "Head", "Epochs"]


def test_caption_says_what_is_fitted() -> None:
    for name in ("main", "heads", "modules"):
        caption = " ".join(reports.table(name, RECORDS).caption)
        assert "97 for the baselines and 60.5 for EffSeg (94 and 58 with DefEnc), are fitted" in caption
        assert "nine rows fitted by two numbers" in caption


@pytest.mark.parametrize(("fvcore", "said"), [(220e9, "agree on"), (219e9, "DISAGREE on convolutions")])
def test_caption_says_whether_the_rulers_agree(fvcore: float, said: str) -> None:
    checks = {"check_torch_conv_matmul": 220e9, "check_fvcore_conv_matmul": fvcore}
    costs = {"macs": 220.6e9, "macs_head": 55.5e9, **checks}
    caption = " ".join(reports.table("heads", [record(subject("mask_rcnn"), "flops", costs)]).caption)
    assert said in caption
    assert ("in: Mask R-CNN++." in caption) == (fvcore != 220e9)
    assert "before any head: 165.1 (R50+FPN)" in caption


def test_protocols_are_in_the_caption() -> None:
    caption = reports.table("main", RECORDS).caption
    assert "Protocol of flops: version 1; kind nominal; by row: regions." in caption


def test_unknown_table() -> None:
    with pytest.raises(ValueError, match="There is no table for 'sparsity'"):
        reports.table("sparsity", [])


@pytest.mark.parametrize(
    ("value", "text"), [(-0.04, "+0.0"), (0.04, "+0.0"), (1.25, "+1.2"), (-3.0, "-3.0"), (None, ""), ("a", "a")]
)
def test_differences_show_their_sign_but_no_negative_zero(value: float | str | None, text: str) -> None:
    assert Column(name="diff", digits=1, signed=True).show(value) == text


def test_torch_is_not_imported() -> None:
    code = "import reports, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
