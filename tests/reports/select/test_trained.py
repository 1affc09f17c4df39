"""Trained heads: which are the usual ones, which are seeds of one model, and in which order they stand."""

from bench.record import Record
from reports.select.comparable import Comparable, comparable
from reports.select.measured import measured
from reports.select.trained import by_seed, first_seeds, in_order, interval, numbers, of_models, usual
from tests.reports.embedded_records import accuracy, trained

MODELS = [
    trained("effseg"),
    trained("effseg", seed=1),
    trained("effseg", module="mlp"),
    trained("effseg", backend="dense"),
    trained("mask_rcnn"),
    trained("mask_rcnn", preset="small_agnostic"),
]
RECORDS = [accuracy(model, 30.0 + number) for number, model in enumerate(MODELS)]


def chosen(*records: Record) -> Comparable:
    return comparable(measured(records), "accuracy_true_boxes")


def test_seeds_presets_modules_and_storages_are_models_of_their_own() -> None:
    found = chosen(*RECORDS)
    assert numbers(found.shown, "ap_star") == [30.0, 31.0, 32.0, 33.0, 34.0, 35.0]
    assert numbers(usual(found).shown, "ap_star") == [34.0, 30.0, 31.0, 33.0], "the paper's order"
    assert [len(seeds) for seeds in by_seed(usual(found).shown).values()] == [1, 2, 1]


def test_of_what_is_left_out_only_usual_heads_are_said() -> None:
    newest = accuracy(trained("effseg"), 40.0, protocol={"images": "first 6"}, second=1)
    (sentence,) = usual(chosen(*RECORDS, newest)).sentences()
    assert sentence.endswith("than the newest: EffSeg sps seed 1, EffSeg dense seed 0, Mask R-CNN++ seed 0 (images).")


def test_seeds_are_of_one_model_whatever_their_weights() -> None:
    again = accuracy(trained("effseg", seed=2, weights="sha256:again"), 50.0)
    (seeds,) = by_seed(measured([again, *RECORDS[:2]])).values()
    assert [each.subject.seed for each in seeds] == [0, 1, 2]


def test_the_first_seed_of_each_model_in_the_papers_order() -> None:
    later = [accuracy(trained("point_rend", seed=seed), 20.0 + seed) for seed in (2, 1)]
    assert numbers(first_seeds(measured([*later, *RECORDS])), "ap_star") == [34.0, 35.0, 21.0, 32.0, 30.0, 33.0]


def test_what_the_paper_does_not_have_comes_last() -> None:
    names = ["my_head", "effseg", "refine_mask"]
    records = measured(accuracy(trained(head), 1.0) for head in names)
    assert [each.subject.head for each in in_order(records)] == names[::-1]


def test_foreign_files_are_of_no_model() -> None:
    foreign = accuracy(trained("theirs"), 1.0, protocol={"predictions": "sha256:c"})
    assert [each.record for each in of_models(measured([foreign, RECORDS[0]]))] == [RECORDS[0]]


def test_intervals() -> None:
    known, perfect = measured([accuracy(trained("effseg"), 44.25), accuracy(trained("mask_rcnn"), 97.5)])
    assert interval(known.number("ap_star")) == "41.8-46.8"
    assert interval(known.number("ap_images")) == interval(known.number("unknown")) == ""
    assert interval(perfect.number("ap_star")) == "95.0-100"
