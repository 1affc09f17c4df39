"""Figures show what the records say: the right records, as SVG that can stand in a page."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.record import Scalar
from bench.store import Store
from reports import paper
from reports.figures import all_figures
from reports.figures.activity import activity
from reports.figures.budget import budget
from reports.figures.cost import cost
from reports.figures.ladder import ladder
from reports.figures.losses import losses
from reports.figures.masks import NUM_CASES, ROOM, masks
from reports.figures.style import FAINT, INK, Figure
from reports.layout import Table
from reports.select.measured import Measured, measured
from reports.select.trainings import read_trainings
from reports.tables import demo
from tests.reports.figures.drawn import parsed, texts
from tests.reports.stores import DATA, add, add_pictures, subject, training


def with_costs(store: Store) -> Sequence[Measured]:
    for place, head in enumerate(("effseg", "mask_rcnn")):
        of = subject(head)
        accuracy = {"apb_star": 30.0 + place}
        add(store, of, "accuracy", accuracy, intervals={"apb_star": (29.0, 32.0)})
        add(store, of, "params", {"params_total": 2e6 * (place + 1)})
        add(store, of, "flops", {"macs": 5e9 * (place + 1)})
        add(store, of, "speed", {"fps_paper": 20.0 / (place + 1), "latency_ms_head_median": 20.0})
    return measured(store)


def with_budget(store: Store) -> Sequence[Measured]:
    values = {}
    for place, name in enumerate(("none", "trained", "double")):
        values |= {f"cells_{name}": 10.0**place, f"latency_ms_{name}": 5.0 + place, f"apb_star_{name}": 40.0 + place}
    add(store, subject(), "budget", values, intervals={"apb_star_none": (39.0, 41.0)})
    return measured(store)


def test_nothing_measured_is_no_figure() -> None:
    assert all_figures([], []) == []


def test_all_figures_stand_in_one_page(store: Store, tmp_path: Path) -> None:
    add_pictures(store, subject(), {0: 0.5})
    with_costs(store)
    training(tmp_path / "weights" / "effseg.json", subject(), mask=[2.0, 1.0])
    figures = all_figures(with_budget(store), read_trainings(tmp_path / "weights"))
    assert [figure.name for figure in figures] == ["pareto-own", "cost", "masks", "time-budget", "budget", "losses"]
    ids: list[str] = []
    for figure in figures:
        assert figure.svg.startswith('<svg role="img" aria-label="')
        of_figure = [each.attrib["id"] for each in parsed(figure).iter() if "id" in each.attrib]
        used = re.findall(r'(?:xlink:href="|url\()#([^")]+)', figure.svg)
        assert set(used) <= set(of_figure), "what is used is there"
        ids += of_figure
        assert INK not in figure.svg
        assert FAINT not in figure.svg
        assert "currentColor" in figure.svg
        assert figure.pdf.startswith(b"%PDF-")
        assert "http" not in re.sub(r"http://www\.w3\.org/\S*", "", figure.svg)
    assert len(ids) == len(set(ids)), "no name is used twice"


def test_a_figure_is_always_the_same(store: Store) -> None:
    found = with_budget(store)
    first, second = budget(found), budget(found)
    assert first == second


def test_masks_stand_in_the_order_of_the_paper_with_the_best_in_bold(store: Store) -> None:
    add_pictures(store, subject("effseg"), {0: 0.91, 1: 0.4})
    add_pictures(store, subject("mask_rcnn"), {0: 0.62, 1: 0.45}, second=1)
    figure = masks(measured(store))
    shown = texts(figure)
    assert shown.index("R-CNN++") < shown.index("EffSeg")
    assert figure is not None
    assert {"0.91", "0.40", "0.62", "0.45", "<ring> 0"} <= set(shown)
    bold = {
        "".join(each.itertext()) for each in parsed(figure).iter() if "font-weight: 700" in each.attrib.get("style", "")
    }
    assert {"0.91", "0.45"} <= bold
    assert not {"0.62", "0.40"} & bold
    assert len(re.findall("<image", figure.svg)) == 8


def test_more_heads_than_have_room_are_named_instead(store: Store) -> None:
    """Those that tables have first are drawn."""
    for second, head in enumerate([*list(paper.HEADS)[::-1], "my_head"]):
        add_pictures(store, subject(head), {0: 0.9}, second=second)
    figure = masks(measured(store))
    assert figure is not None
    assert figure.svg.count("<image") == 2 + ROOM
    assert "EffSeg" in texts(figure)
    assert figure.caption[-1] == (
        "Not drawn, for want of room: Two-way, PatchDCT++, Mask Transfiner++, BoundaryFormer++, Mask R-CNN, my_head."
    )


def test_only_objects_that_all_heads_have_are_shown(store: Store) -> None:
    add_pictures(store, subject("effseg"), {0: 0.9, 1: 0.4})
    add_pictures(store, subject("mask_rcnn"), {1: 0.5}, second=1)
    shown = texts(masks(measured(store)))
    assert "<ring> 1" in shown
    assert "<ring> 0" not in shown


def test_masks_whose_files_are_gone_are_left_out(store: Store) -> None:
    entry = add_pictures(store, subject("effseg"), {0: 0.9})
    entry.path.with_name(f"{entry.path.stem}.object0-truth.png").unlink()
    assert masks(measured(store)) is None
    entry = add_pictures(store, subject("effseg", seed=1), {0: 0.9})
    entry.path.with_suffix(".npz").unlink()
    assert masks(measured(store)) is None
    add_pictures(store, subject("mask_rcnn"), {0: 0.5})
    assert "EffSeg" not in texts(masks(measured(store)))


def test_objects_that_heads_draw_badly_come_first(store: Store) -> None:
    add_pictures(store, subject("effseg"), {0: 0.9, 1: 0.1, 2: 0.5})
    add_pictures(store, subject("mask_rcnn"), {0: 0.8, 1: 0.6, 2: 0.4}, second=1)
    shown = [text for text in texts(masks(measured(store))) if text.startswith("<ring>")]
    assert shown == ["<ring> 1", "<ring> 2", "<ring> 0"]


def test_the_worst_and_the_best_of_all_objects_are_drawn(store: Store) -> None:
    scores = {row: row / 20 for row in range(20)}
    add_pictures(store, subject("effseg"), scores)
    shown = [text for text in texts(masks(measured(store))) if text.startswith("<ring>")]
    assert shown == [f"<ring> {row}" for row in (0, 1, 2, 3, 16, 17, 18, 19)]
    assert texts(masks(measured(store))).count("worst") == texts(masks(measured(store))).count("best") == NUM_CASES


def test_a_case_of_one_head_is_drawn_for_all(store: Store) -> None:
    """The other heads have its mask, although it is not among their own extremes."""
    add_pictures(store, subject("effseg"), {0: 0.9, 1: 0.1, 2: 0.5}, shown=[0])
    add_pictures(store, subject("mask_rcnn"), {0: 0.8, 1: 0.6, 2: 0.4}, shown=[1], second=1)
    figure = masks(measured(store))
    shown = [text for text in texts(figure) if text.startswith("<ring>")]
    assert shown == ["<ring> 1", "<ring> 0"]
    assert figure is not None
    assert len(re.findall("<image", figure.svg)) == 8


def test_one_seed_of_a_head_is_enough(store: Store) -> None:
    add_pictures(store, subject("effseg", seed=1), {0: 0.9})
    add_pictures(store, subject("effseg", seed=0), {0: 0.8}, second=1)
    shown = texts(masks(measured(store)))
    assert "0.80" in shown
    assert "0.90" not in shown


def test_every_head_has_a_point_by_all_costs(store: Store) -> None:
    shown = texts(cost(with_costs(store)))
    assert shown.count("EffSeg") == shown.count("Mask R-CNN++") == 3
    assert "APB*, detected boxes" in shown


def test_many_heads_have_a_legend(store: Store) -> None:
    heads = list(paper.HEADS)[:7]
    for place, head in enumerate(heads):
        add(store, subject(head), "accuracy", {"apb_star": 30.0 + place})
        add(store, subject(head), "params", {"params_total": 2e6 + 1e5 * place})
        add(store, subject(head), "speed", {"fps_paper": 20.0 + place})
    shown = texts(cost(measured(store)))
    assert [shown.count(paper.HEADS[head]) for head in heads] == [1] * len(heads)


def test_no_cost_is_no_point(store: Store) -> None:
    add(store, subject(), "accuracy", {"apb_star": 30.0})
    assert cost(measured(store)) is None
    add(store, subject(), "flops", {"macs": 1e9})
    assert texts(cost(measured(store))).count("EffSeg") == 1


def test_variants_with_fewer_costs_have_no_point(store: Store) -> None:
    variant = msgspec.structs.replace(subject(), module="mlp")
    add(store, variant, "accuracy", {"apb_star": 25.0})
    add(store, variant, "params", {"params_total": 1e6})
    assert not any("MLP" in text for text in texts(cost(with_costs(store))))


def test_budgets_are_ordered_by_cells(store: Store) -> None:
    figure = budget(with_budget(store))
    assert figure is not None
    assert "none 40.0, trained 41.0, double 42.0" in figure.svg
    assert texts(figure).count("trained") == 2


def test_losses_of_a_finished_detector_are_left_out(tmp_path: Path) -> None:
    training(tmp_path / "effseg.json", subject(), mask_14=[4.0, 2.0], refine=[1.0, 1.0], box=[100.0, 100.0])
    training(tmp_path / "detector.json", subject("mask_rcnn"), detector=None, mask_28=[3.0, 1.0], box=[9.0, 5.0])
    figure = losses(read_trainings(tmp_path))
    assert figure is not None
    assert "detector ends at 6; effseg ends at 3" in figure.svg
    shown = texts(figure)
    assert shown.index("Detector") < shown.index("EffSeg")


def cost_tables(store: Store) -> tuple[Table, Table]:
    """Costs, and accuracies on detected boxes."""
    tables = {table.title: table for table in demo.tables(measured(store))}
    return tables["Cost of the heads"], tables["Heads on detected boxes"]


def test_a_speed_in_another_precision_is_alone_in_table_and_figure(store: Store) -> None:
    with_costs(store)
    low: dict[str, Scalar] = {**DATA, "dtype": "bfloat16"}
    add(store, subject("effseg"), "speed", {"fps_paper": 80.0}, protocol=low, second=1)
    figure, (table, _) = cost(measured(store)), cost_tables(store)
    assert figure is not None
    rates = {row[0]: row[-1] for row in table.texts()}
    assert rates == {"Mask R-CNN++": "", "EffSeg": "80.00"}
    shown = texts(figure)
    assert (shown.count("Mask R-CNN++"), shown.count("EffSeg")) == (2, 3), "in the panels of what was measured alike"
    said = "Left out of speed, because measured otherwise than the newest: Mask R-CNN++ (dtype)."
    assert said in table.caption
    assert said in figure.caption


def test_an_accuracy_in_another_precision_is_alone_in_table_and_figure(store: Store) -> None:
    with_costs(store)
    low: dict[str, Scalar] = {**DATA, "dtype": "bfloat16"}
    add(store, subject("effseg"), "accuracy", {"apb_star": 20.0}, protocol=low, second=1)
    figure, (_, table) = cost(measured(store)), cost_tables(store)
    assert figure is not None
    assert [row[0] for row in table.rows] == ["EffSeg"]
    assert "Mask R-CNN++" not in texts(figure)
    said = "Left out of accuracy, because measured otherwise than the newest: Mask R-CNN++ (dtype)."
    assert said in table.caption
    assert said in figure.caption


def test_weights_that_nobody_trained_have_no_point_and_set_no_rule(store: Store) -> None:
    expected = cost(with_costs(store))
    other: dict[str, Scalar] = {**DATA, "images": "first 5"}
    add(store, subject("point_rend", weights="random"), "speed", {"fps_paper": 9.0}, protocol=other, second=9)
    foreign: dict[str, Scalar] = {"predictions": "sha256:c"}
    add(store, subject("theirs"), "accuracy", {"apb_star": 9.0}, protocol=foreign, second=9)
    assert cost(measured(store)) == expected


def test_a_model_has_one_point_of_its_first_seed_and_its_last_weights(store: Store) -> None:
    measurements = ((1, "sha256:old", 1.0), (1, "sha256:new", 2.0), (2, "sha256:w", 3.0))
    for second, (seed, weights, ap) in enumerate(measurements):
        add(store, subject(seed=seed, weights=weights), "accuracy", {"apb": ap}, second=second)
    add(store, subject(seed=1, weights="sha256:old"), "params", {"params_total": 1e6})
    figure = cost(measured(store))
    assert figure is not None
    assert "detected boxes: EffSeg 2.0" in figure.svg
    assert "APB, detected boxes" in texts(figure)


@pytest.mark.parametrize(
    ("drawn", "probe", "values"),
    [
        (activity, "trace", {"images": 1, "stage1_active_fraction": 0.5}),
        (budget, "budget", {"cells_trained": 9.0, "latency_ms_trained": 5.0, "apb_trained": 40.0}),
        (ladder, "ceiling", {"ap": 80.0}),
    ],
)
def test_what_a_figure_leaves_out_is_said(
    store: Store, drawn: Callable[[Sequence[Measured]], Figure | None], probe: str, values: dict[str, float]
) -> None:
    maps = {"stage1_active_map": np.full((4, 4), 0.5)}
    add(store, subject("grid14_soft"), probe, values, samples=maps, protocol={**DATA, "images": "first 5"})
    add(store, subject("grid28_soft"), probe, values, samples=maps, second=1)
    figure = drawn(measured(store))
    assert figure is not None
    said = f"Left out of {probe}, because measured otherwise than the newest: grid14_soft (images)."
    assert figure.caption[-1] == said
