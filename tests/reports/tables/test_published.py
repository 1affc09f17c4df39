"""Published models beside what their authors state: differences are told, and so are weights that mean nothing."""

import msgspec
import pytest

from bench.record import Failure, Record, Scalar, Subject
from reports import paper
from reports.choice import all_tables, tables_of
from reports.layout import Table
from reports.renderers.csv import comma_separated
from reports.renderers.latex import latex
from reports.renderers.markdown import markdown
from reports.select.measured import measured
from reports.tables.published import tables
from tests.reports.invented import invented

VAL2017 = 5000


def subject(head: str = "mask_rcnn", *, detector: str | None = "fqdetv2", backbone: str = "r50_fpn") -> Subject:
    is_effseg = head == "effseg"
    return Subject(
        head=head,
        backend="sps" if is_effseg else None,
        module="sfm" if is_effseg else None,
        backbone=backbone,
        detector=detector,
        preset="paper",
        schedule="published",
        weights=f"sha256:{head}",
    )


def record(of: Subject, probe: str, values: dict[str, float], *, width: float = 0.5, **protocol: Scalar) -> Record:
    accuracies = {
        name: value for name, value in values.items() if name.startswith(("ap", "box_ap")) and "_im" not in name
    }
    intervals = {name: (value - width, value + width) for name, value in accuracies.items()}
    depends_on: dict[str, Scalar] = {"probe": probe, "version": 1, "images": "all", **protocol}
    return invented(of, depends_on, values, intervals=intervals)


def model(
    of: Subject, box_ap: float, ap: float, *, images: int = VAL2017, width: float = 0.5, exact: float = 1.5
) -> list[Record]:
    """All that the recipe measures of a model: finished otherwise, masks are `exact` points better."""
    number = {"images": images}
    masks = {"ap50": ap + 20, "ap_s": ap - 20, "ap_star": ap + 3, "apb_star": ap - 8, "ap_images": images, **number}
    made = [record(of, "box_accuracy", {"box_ap": box_ap, "box_images": images, **number}, width=width)]
    made.append(record(of, "accuracy", {"ap": ap, **masks}, width=width, finishing="dilated"))
    made.append(record(of, "accuracy", {"ap": ap + exact, **masks}, width=width))
    made.append(record(of, "params", {"params_trainable": 40.5e6, "params_head": 2.9e6}))
    made.append(record(of, "flops", {"macs": 250e9, "macs_head": 70e9, "regions": 97, **number}, kind="measured"))
    return [*made, record(of, "speed", {"fps_paper": 12.5, **number})]


def shown(records: list[Record]) -> list[Table]:
    return [table for table in tables_of("published", measured(records)) if table.has_numbers]


def cells(table: Table, name: str, column: str) -> list[object]:
    """The values of a row in the columns of a name."""
    (row,) = [row for row in table.rows if row[0] == name]
    return [value for value, each in zip(row, table.columns, strict=True) if each.name == column]


def said(table: Table) -> str:
    return " ".join(table.caption)


def test_the_published_numbers_are_those_of_the_logs() -> None:
    rows = {row.id: row for row in paper.PUBLISHED}
    assert {name: (row.values["box_ap"], row.values["ap"]) for name, row in rows.items()} == {
        "detseg/mask_rcnn": (46.99, 41.28),
        "detseg/point_rend": (46.68, 41.95),
        "detseg/refine_mask": (46.80, 42.65),
        "detseg/effseg": (46.99, 42.39),
        "torchvision/torchvision": (37.9, 34.6),
        "torchvision/torchvision_v2": (47.4, 41.8),
    }
    sizes = ("ap50", "ap75", "ap_s", "ap_m", "ap_l")
    assert [rows["detseg/effseg"].values[name] for name in sizes] == [62.53, 46.39, 22.50, 45.03, 62.07]
    assert all(row.source and row.schedule == "published" for row in rows.values())
    assert {row.finishing for row in rows.values() if row.detector == "fqdetv2"} == {"dilated"}
    assert not any(row.source or row.detector for row in (*paper.TABLE3, *paper.TABLE4, *paper.TABLE5))


def test_a_difference_on_all_images_is_flagged_with_its_causes() -> None:
    compared, *_ = shown([*model(subject(), 46.99 - 0.19, 41.28 + 0.2), *model(subject("effseg"), 46.7, 42.39)])
    assert [row[0] for row in compared.rows] == ["Mask R-CNN++", "EffSeg"]
    assert cells(compared, "Mask R-CNN++", "published") == [46.99, 41.28]
    assert cells(compared, "Mask R-CNN++", "diff") == pytest.approx([-0.19, 0.2])
    assert cells(compared, "Mask R-CNN++", "verdict") == ["agrees", "agrees"]
    assert cells(compared, "EffSeg", "verdict") == ["DIFFERS", "agrees"]
    assert "Usual causes" in said(compared)
    assert "fewer images" not in said(compared)
    (fine, *_) = shown(model(subject(), 46.99, 41.28))
    assert "Usual causes" not in said(fine)
    assert "DIFFERS" not in said(fine)


def test_of_fewer_images_the_interval_decides() -> None:
    compared, *_ = shown([*model(subject(), 48.0, 43.0, images=500, width=1.5)])
    assert cells(compared, "Mask R-CNN++", "95%") == ["46.5-49.5", "41.5-44.5"]
    assert cells(compared, "Mask R-CNN++", "verdict") == ["inside", "OUTSIDE"]
    assert "ours of 500: AP of fewer images comes out higher" in said(compared)
    alone = [msgspec.structs.replace(each, values=bare(each)) for each in model(subject(), 48.0, 43.0, images=1)]
    assert cells(shown(alone)[0], "Mask R-CNN++", "verdict") == ["", ""]


def bare(made: Record) -> tuple:  # type: ignore[type-arg]
    return tuple(msgspec.structs.replace(value, interval=None) for value in made.values)


def test_both_ways_to_finish_masks_are_shown_and_the_authors_is_compared() -> None:
    compared, _, finished, _ = shown(model(subject(), 46.99, 41.28))
    assert cells(compared, "Mask R-CNN++", "mask AP") == [41.28]
    assert [row[1:3] for row in finished.rows] == [("dilated", 41.28), ("exact", pytest.approx(42.78))]
    headings = [column.name for column in finished.columns if column.name != "95%"]
    assert headings == ["Model", "Finishing", "AP", "AP*", "APB*"]
    assert "published nowhere" in said(finished)
    only_ours = [each for each in model(subject(), 46.99, 41.28) if "finishing" not in each.protocol]
    assert "mask AP" not in [column.name for column in shown(only_ours)[0].columns]


def test_weights_that_find_nothing_are_told_first() -> None:
    formula = model(subject(), 0.004, 0.001, images=2, width=0.001)
    compared, *_ = shown([*formula, *model(subject("effseg"), 47.5, 42.0, images=2, width=9)])
    assert compared.caption[0].startswith("THE WEIGHTS OF Mask R-CNN++ FIND NOTHING")
    assert cells(compared, "Mask R-CNN++", "verdict") == ["nothing", "nothing"]
    assert cells(compared, "Mask R-CNN++", "diff") == [None, None]
    assert "fewer images" not in said(shown(formula)[0])
    assert cells(compared, "EffSeg", "verdict") == ["inside", "inside"]


def test_sizes_and_costs_are_those_of_the_records() -> None:
    _, sizes, _, costs = shown(model(subject(), 46.99, 41.28))
    assert cells(sizes, "Mask R-CNN++", "published") == [62.22, 21.78]
    assert cells(sizes, "Mask R-CNN++", "APS") == [pytest.approx(21.28)]
    assert costs.rows == (("Mask R-CNN++", 40.5, 2.9, 250.0, 70.0, 97.0, 12.5),)
    assert "Nominal" not in said(costs)
    (nominal,) = shown([record(subject(), "flops", {"macs": 250e9, "regions": 100}, kind="nominal")])
    assert "Nominal" in said(nominal)


def test_models_nobody_published_numbers_of_have_none() -> None:
    other = subject("effseg", detector=None, backbone="r50_defenc")
    _, sizes, *_ = shown(model(other, 50.0, 44.0))
    assert [column.name for column in sizes.columns] == ["Model", "AP50", "APS"]
    compared, *_ = shown([*model(other, 50.0, 44.0), *model(subject("effseg"), 46.99, 42.39)])
    assert [row[0] for row in compared.rows] == ["EffSeg R50+FPN", "EffSeg R50+DefEnc"]
    assert cells(compared, "EffSeg R50+DefEnc", "published") == [None, None]
    assert cells(compared, "EffSeg R50+DefEnc", "verdict") == ["", ""]
    assert "Published, of EffSeg R50+DefEnc: nothing." in said(compared)


def test_torchvisions_models_are_told_apart() -> None:
    versions = {"torchvision": (37.9, 34.6), "torchvision_v2": (47.4, 41.8)}
    records = [
        made
        for detector, (box_ap, ap) in versions.items()
        for made in model(subject("torchvision_mask", detector=detector, backbone="r50_tvfpn"), box_ap, ap, exact=0)
        if "finishing" not in made.protocol
    ]
    compared, *_ = shown(records)
    assert [row[0] for row in compared.rows] == ["Mask R-CNN torchvision v1", "Mask R-CNN torchvision v2"]
    assert all(row[-1] == "agrees" for row in compared.rows)
    both = "Mask R-CNN torchvision v1, Mask R-CNN torchvision v2"
    assert f"Mask AP of {both}: masks finished as all masks are here" in said(compared)
    assert "mask AP need not be the published one" in said(compared)


def test_every_renderer_shows_them_and_the_report_has_them_alone() -> None:
    records = model(subject(), 46.99, 41.28)
    made = all_tables(measured(records))
    assert [table.title.partition(",")[0].partition(":")[0] for table in made] == ["Published models"] * 4
    for table in made:
        assert "Mask R-CNN++" in markdown(table)
        assert "Mask R-CNN++" in latex(table, label="published")
        assert "Mask R-CNN++" in comma_separated(table)
    assert "46.99" in markdown(made[0])


def test_costs_of_random_weights_are_no_others_table_either() -> None:
    """FQDetV2 without weights is not the paper's model, whose rows it would fill."""
    random = msgspec.structs.replace(subject(), schedule="none", weights="random")
    params = record(random, "params", {"params_trainable": 40.5e6, "params_head": 2.9e6})
    assert not any(table.title.startswith("Published models, measured") for table in shown([params]))
    assert [table.title for table in tables_of("main", measured([params])) if table.has_numbers] == []


def test_what_failed_is_told() -> None:
    failed = msgspec.structs.replace(
        record(subject("effseg"), "accuracy", {}), error=Failure(type="OSError", message="no", frames=())
    )
    other = msgspec.structs.replace(failed, subject=msgspec.structs.replace(failed.subject, schedule="12ep"))
    (compared, *_) = tables(measured(model(subject(), 46.99, 41.28)), [failed, other])
    (told,) = [line for line in compared.caption if line.startswith("Failed")]
    assert told.count("effseg") == 1
