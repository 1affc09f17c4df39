"""What may stand side by side: what was measured as the newest, of every subject its newest; what is not, is said."""

import msgspec
import pytest

from bench.record import Record, Scalar, Subject
from reports.select.comparable import Comparable, comparable, means_something, what_differs
from reports.select.measured import measured
from tests.reports.invented import invented

EFFSEG = Subject(head="effseg", weights="sha256:1")
OTHER = Subject(head="mask_rcnn", weights="sha256:2")


def record(
    of: Subject = EFFSEG,
    second: int = 0,
    *,
    probe: str = "accuracy",
    cpu: str = "epyc",
    images: int = 10,
    **protocol: Scalar,
) -> Record:
    protocol = {"probe": probe, "version": 1, "dtype": "float32"} | protocol
    return invented(of, protocol, {"ap": 40.0, "images": images}, second=second, cpu=cpu)


def chosen(*records: Record, probe: str = "accuracy") -> Comparable:
    return comparable(measured(records), probe)


def seconds(found: Comparable) -> tuple[list[int], list[int]]:
    """When what is shown and what is left out was measured."""
    shown, left_out = ([int(each.started[17:19]) for each in group] for group in (found.shown, found.left_out))
    return shown, left_out


def test_of_every_subject_the_newest_counts_in_the_order_of_the_first() -> None:
    found = chosen(record(EFFSEG, 0), record(OTHER, 1), record(EFFSEG, 2))
    assert seconds(found) == ([2, 1], [])
    assert found.newest is found.shown[0]
    assert not list(found.sentences())


def test_a_model_that_was_trained_again_is_the_same() -> None:
    again = msgspec.structs.replace(EFFSEG, weights="sha256:3")
    assert seconds(chosen(record(EFFSEG, 0), record(again, 1))) == ([1], [])
    everything = comparable(measured([record(EFFSEG, 0), record(again, 1)]), "accuracy", of=lambda subject: subject)
    assert seconds(everything) == ([0, 1], [])


@pytest.mark.parametrize(
    ("older", "differs"),
    [
        (record(OTHER, 0, dtype="bfloat16"), "dtype"),
        (record(OTHER, 0, version=2, extra="x"), "version, extra"),
        (record(OTHER, 0, images=9), "number of images"),
    ],
)
def test_the_newest_says_what_compares_and_the_others_are_said(older: Record, differs: str) -> None:
    found = chosen(older, record(EFFSEG, 1))
    assert seconds(found) == ([1], [0])
    sentence = f"Left out of accuracy, because measured otherwise than the newest: Mask R-CNN++ ({differs})."
    assert list(found.sentences()) == [sentence]


def test_a_subject_that_was_also_measured_alike_is_not_left_out() -> None:
    found = chosen(record(OTHER, 0), record(OTHER, 1, dtype="bfloat16"), record(EFFSEG, 2))
    assert seconds(found) == ([0, 2], [])


def test_the_machine_matters_only_for_what_is_timed() -> None:
    elsewhere = [record(OTHER, 0, probe="speed", cpu="xeon"), record(EFFSEG, 1, probe="speed")]
    found = chosen(*elsewhere, probe="speed")
    assert seconds(found) == ([1], [0])
    (sentence,) = found.sentences()
    assert sentence == "Left out of speed, because measured otherwise than the newest: Mask R-CNN++ (machine)."
    assert seconds(chosen(record(OTHER, 0, cpu="xeon"), record(EFFSEG, 1))) == ([0, 1], [])
    both = chosen(record(OTHER, 0, cpu="xeon", dtype="float64"), record(EFFSEG, 1))
    assert "Mask R-CNN++ (dtype)" in " ".join(both.sentences()), "the machine is not why"


def test_initial_weights_and_nominal_regions_say_nothing_about_how_it_was_measured() -> None:
    first, second = measured([record(EFFSEG, initial="sha256:a"), record(OTHER, initial="sha256:b")])
    assert what_differs(first, second) == []
    nominal = [record(EFFSEG, kind="nominal", regions="97"), record(OTHER, kind="nominal", regions="60, 61")]
    assert what_differs(*measured(nominal)) == []
    counted = [record(EFFSEG, regions=97), record(OTHER, regions=60)]
    assert what_differs(*measured(counted)) == ["regions"]


def test_random_weights_mean_nothing_where_a_probe_needs_trained_ones() -> None:
    random = msgspec.structs.replace(EFFSEG, weights="random")
    assert seconds(chosen(record(OTHER, 0), record(random, 1))) == ([0], [])
    (cost,) = measured([record(random, probe="params")])
    assert means_something(cost)


def test_a_part_of_the_choice_still_says_what_of_it_is_left_out() -> None:
    found = chosen(record(OTHER, 0, dtype="bfloat16"), record(EFFSEG, 1)).only(lambda each: each.subject == EFFSEG)
    assert seconds(found) == ([1], [])
    assert seconds(found.only(lambda each: False)) == ([], [])


def test_nothing_measured_is_nothing_to_compare() -> None:
    found = chosen(record(), probe="speed")
    assert (found.shown, found.left_out, found.newest, list(found.sentences())) == ((), (), None, [])
