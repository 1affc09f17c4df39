"""Errors, confused classes and outlines as tables."""

from collections.abc import Mapping

import msgspec

from bench.accuracy.confusion import NOTHING
from bench.accuracy.errors import REPAIRS
from bench.record import Record, Scalar, Subject, Value
from reports.renderers.markdown import markdown
from reports.select.measured import measured
from reports.tables.errors import (
    BACKGROUND,
    ERRORS,
    confusions,
    errors,
    errors_compared,
    outlines,
    outlines_compared,
)
from tests.reports.invented import invented

GAINS = tuple(
    Value(name="dap50", value=place + 0.25, unit="points", at={"error": error}, interval=(place - 0.5, place + 0.75))
    for place, error in enumerate(ERRORS)
)
OF_SIZE = (Value(name="dap50", value=9.75, at={"error": "class", "size": "small"}),)
COUNTS = tuple(Value(name="ap_errors", value=7, at={"error": error}) for error in ("class", "missed"))


def evaluated(*values: Value, head: str = "theirs") -> Record:
    protocol: Mapping[str, Scalar] = {"probe": "accuracy", "version": 1, "errors": True}
    return msgspec.structs.replace(invented(Subject(head=head, weights="sha256:1"), protocol, {}), values=values)


def test_names_are_those_of_records() -> None:
    assert set(ERRORS) == set(REPAIRS)
    assert BACKGROUND == NOTHING


def test_errors_stand_above_their_intervals() -> None:
    table = errors(measured([evaluated(*GAINS, *OF_SIZE, *COUNTS)]))
    texts = table.texts()
    assert [column.name for column in table.columns] == ["Protocol", "Objects", *ERRORS.values()]
    assert texts[0][:4] == ["AP", "all", "0.2", "1.2"]
    assert texts[1][:4] == ["", "", "[-0.5, 0.8]", "[0.5, 1.8]"]
    assert texts[2][:4] == ["AP", "small", "9.8", "n/a"]
    assert texts[-1] == ["AP", "number", "7", *[""] * 6, "7", "", ""]
    assert "Definitions of TIDE" in markdown(table)


def test_several_results_are_told_apart() -> None:
    table = errors(measured([evaluated(*GAINS, *COUNTS), evaluated(*GAINS, *COUNTS, head="ours")]))
    assert table.columns[0].name == "Predictions"
    assert {row[0] for row in table.texts()} == {"theirs", "ours", ""}


def test_the_most_frequent_confusions_come_first() -> None:
    cells = {("cat", "cat"): 10, ("cat", "dog"): 2, ("dog", "cat"): 3, ("dog", NOTHING): 9, (NOTHING, "dog"): 8}
    values = [
        Value(name="ap_confusion", value=number, at={"category": category, "predicted": predicted})
        for (category, predicted), number in cells.items()
    ]
    table = confusions(measured([evaluated(*COUNTS, *values)]))
    assert table.texts() == [["AP", "dog", "cat", "3", "25.0"], ["AP", "cat", "dog", "2", "16.7"]]


def test_outlines_by_size() -> None:
    values = [Value(name="ap_matched", value=12), Value(name="ap_matched", value=5, at={"size": "large"})]
    values += [
        Value(name=f"ap_matched_{measure}_iou", value=iou, at=at, interval=(iou - 0.1, iou + 0.1))
        for measure, iou in (("mask", 0.8), ("boundary", 0.6))
        for at in ({}, {"size": "large"})
    ]
    table = outlines(measured([evaluated(*COUNTS, *values)]))
    assert table.texts() == [
        ["AP", "all", "12", "0.800", "[0.700, 0.900]", "0.600", "[0.500, 0.700]"],
        ["AP", "large", "5", "0.800", "[0.700, 0.900]", "0.600", "[0.500, 0.700]"],
    ]


OFF = {"first": 2.0, "second": 1.5, "difference": -0.5, "low": -1.0, "high": -0.25, "p": 0.004, "verdict": "lower"}
COMPARED = [
    {"name": "dapb_star50", "error": "mask", **OFF},
    {"name": "dapb_star50", "error": "mask", "size": "small", **OFF},
    {"name": "ap_star_matched_boundary_iou", **OFF, "low": None, "high": None, "p": None},
    {"name": "ap_star_matched_boundary_iou", "size": "small", **OFF},
]


def test_differences_of_errors_are_those_of_all_objects() -> None:
    table = errors_compared("a", "b", COMPARED)
    assert table.title == "Errors of b against a, dAP"
    assert table.texts() == [["APB*", "Mask", "2.0", "1.5", "-0.5", "[-1.0, -0.2]", "0.004", "lower"]]


def test_differences_of_outlines_go_by_size() -> None:
    assert outlines_compared("a", "b", COMPARED).texts() == [
        ["AP*", "Boundary IoU, all", "2.000", "1.500", "-0.500", "n/a", "n/a", "lower"],
        ["AP*", "Boundary IoU, small", "2.000", "1.500", "-0.500", "[-1.000, -0.250]", "0.004", "lower"],
    ]
