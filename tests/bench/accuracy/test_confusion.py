"""Objects and predictions are matched whatever their classes, and what nobody looked for is no mistake."""

from bench.accuracy.confusion import NOTHING, confusion
from bench.accuracy.protocol import PRESETS
from tests.bench.accuracy.blocks import a_result, an_object, entries, with_overlaps

A, B, C = (0, 0, 40, 40), (0, 50, 40, 40), (50, 0, 40, 40)
ONE, TWO, THREE = "class 1", "class 2", "class 3"


def test_the_best_prediction_of_any_class_takes_the_object() -> None:
    of = entries(
        [an_object(A, 1), an_object(B, 2), an_object(C, 3, iscrowd=1), an_object((90, 90, 9, 9), 1)],
        [
            a_result(A, 2, 0.9),
            a_result(A, 1, 0.8),
            a_result(B, 2, 0.7),
            a_result((55, 5, 20, 20), 1, 0.6),
            a_result((20, 50, 40, 40), 3, 0.5),
        ],
    )
    found = confusion(*with_overlaps(of, PRESETS["coco"]))
    assert set(found.cells()) == {
        (ONE, TWO, 1),
        (TWO, TWO, 1),
        (ONE, NOTHING, 1),
        (NOTHING, ONE, 1),
        (NOTHING, THREE, 1),
    }
    assert found.names == (ONE, TWO, THREE, NOTHING)


def test_inventions_of_classes_that_nobody_looked_for_are_left_out() -> None:
    results = [a_result(A, 2, 0.9), a_result(B, 2, 0.8), a_result(B, 3, 0.7), a_result(C, 1, 0.6)]
    of = entries([an_object(A, 1)], results, neg_category_ids=[3], not_exhaustive_category_ids=[1])
    found = confusion(*with_overlaps(of, PRESETS["ap-star"]))
    assert set(found.cells()) == {(ONE, TWO, 1), (NOTHING, THREE, 1)}
