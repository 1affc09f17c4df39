"""Names of classes."""

from bench.data.coco import COCO_CATEGORY_IDS
from bench.glyphs import CATEGORIES
from bench.inference.class_names import class_names
from bench.model.task import Task
from bench.record import Subject


def names(ids: tuple[int, ...], given: tuple[str, ...] = ()) -> tuple[str, ...]:
    return class_names(Task(subject=Subject(), category_ids=ids, data="", category_names=given))


def test_a_task_names_its_classes() -> None:
    assert names((1, 5), ("bolt", "")) == ("bolt", "class 5")


def test_all_of_coco_and_of_the_embedded_data_are_known() -> None:
    assert names(COCO_CATEGORY_IDS)[:2] == ("person", "bicycle")
    assert names(tuple(each.id for each in CATEGORIES)) == tuple(each.name for each in CATEGORIES)


def test_some_of_the_ids_are_those_of_another_data_set() -> None:
    assert names((1, 2)) == ("class 1", "class 2")
