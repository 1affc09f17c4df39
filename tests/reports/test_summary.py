"""The answer in short says what the tables say."""

from pathlib import Path

from reports.select.measured import measured
from reports.summary import in_short
from tests.reports.embedded_records import accuracy, demo_records, keep, trained


def test_best_outlines_first_and_what_nothing_separates_from_them(tmp_path: Path) -> None:
    sentences = in_short(measured(keep(tmp_path, *demo_records())))
    assert len(sentences) == 4
    detected, true, macs, time = sentences
    assert detected == (
        "Outlines on detected boxes (APB*; more is better): EffSeg 24.2, RefineMask++ 24.0, PointRend++ 20.0, "
        "Mask R-CNN++ 15.0; not separated from the first: RefineMask++."
    )
    assert true.startswith("Outlines on true boxes (APB*; more is better): EffSeg 32.6, "), "the mean of three seeds"
    assert macs.startswith("Cost (GMACs of the head for an image; less is better): ")
    assert time == (
        "Cost (ms of the whole model for an image, on epyc-2c; less is better): "
        "Mask R-CNN++ 101, PointRend++ 101, RefineMask++ 101, EffSeg 101."
    )


def test_without_resamples_nothing_is_said_to_be_ahead() -> None:
    (sentence,) = in_short(measured([accuracy(trained("effseg"), 60.0), accuracy(trained("mask_rcnn"), 10.0)]))
    assert sentence.endswith("not separated from the first: Mask R-CNN++.")


def test_a_head_that_is_ahead_of_all(tmp_path: Path) -> None:
    store = keep(tmp_path, accuracy(trained("effseg"), 60.0), accuracy(trained("mask_rcnn"), 10.0))
    (sentence,) = in_short(measured(store))
    assert sentence.endswith("EffSeg 48.0, Mask R-CNN++ -2.0; the first is ahead of all.")


def test_one_head_alone_is_no_choice() -> None:
    assert in_short(measured([accuracy(trained("effseg"), 60.0)])) == in_short([]) == []
