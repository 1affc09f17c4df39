"""Which trainings a schedule asks for, and which files each makes."""

import dataclasses
from pathlib import Path

from bench.data.augment import SMALL_TRAINING
from bench.glyphs import CATEGORIES, GlyphDataset
from bench.model.task import Task
from bench.record import Subject
from bench.training.given_detector import GivenDetector
from bench.training.jobs import jobs
from bench.training.recipe import small
from bench.training.schedule import SCHEDULES, DataSource
from bench.training.start import Start

IDS = tuple(category.id for category in CATEGORIES)
SOURCE = DataSource(
    num_images=4,
    category_ids=IDS,
    content="four glyphs",
    data=lambda transform, seed: GlyphDataset(split="train", num_images=4, transform=SMALL_TRAINING),
)
GLYPHS = SCHEDULES["glyphs"]
GIVEN = GivenDetector(
    path=Path("whole"), task=Task(subject=Subject(head="effseg"), category_ids=IDS, data="theirs", num_queries=7)
)
FROZEN = dataclasses.replace(GLYPHS, name="frozen_1ep", detector=None, given=GIVEN, detector_name="fqdet")
FOLDER = Path("weights")


def test_a_common_detector_comes_first_and_the_heads_of_a_seed_are_one_training() -> None:
    subjects = [GLYPHS.subject("mask_rcnn"), GLYPHS.subject("effseg"), GLYPHS.subject("effseg", seed=1)]
    found = list(jobs(GLYPHS, subjects, SOURCE, FOLDER))
    assert [list(job.files) for job in found] == [
        ["detector"],
        ["mask_rcnn-small_fpn-small-glyphs-seed0", "effseg-sfm-small_fpn-small-glyphs-seed0"],
        ["effseg-sfm-small_fpn-small-glyphs-seed1"],
    ]
    assert [job.detector for job in found] == [None, *[FOLDER / "detector.safetensors"] * 2]
    assert all(job.only([]) == job for job in (found[0], found[2]))


def test_heads_with_a_detector_or_weights_to_start_from_are_trainings_of_their_own() -> None:
    subjects = [GLYPHS.subject("mask_rcnn"), GLYPHS.subject("effseg")]
    whole = dataclasses.replace(GLYPHS, detector=None)
    begun = dataclasses.replace(GLYPHS, start=Start(heads={subjects[1]: Path("effseg")}))
    both = (["mask_rcnn-small_fpn-small-glyphs-seed0"], ["effseg-sfm-small_fpn-small-glyphs-seed0"])
    for schedule in (dataclasses.replace(whole, head=lambda _: small()), begun):
        assert [list(job.files) for job in jobs(schedule, subjects, SOURCE, FOLDER) if job.name != "detector"] == [
            *both
        ]


def test_on_a_given_detector_the_heads_of_a_seed_are_one_training() -> None:
    subjects = [
        FROZEN.subject(head, module=module, seed=seed)
        for seed in (3, 4)
        for head, module in (("mask_rcnn", None), ("effseg", "sfm"), ("effseg", "conv"))
    ]
    three, four = jobs(FROZEN, subjects, SOURCE, FOLDER)
    assert three.name == "mask_rcnn+effseg-sfm+effseg-conv-small_fpn-fqdet-small-frozen_1ep-seed3"
    assert three.files == {
        "mask_rcnn-small_fpn-fqdet-small-frozen_1ep-seed3": "mask_rcnn",
        "effseg-sfm-small_fpn-fqdet-small-frozen_1ep-seed3": "effseg-sfm",
        "effseg-conv-small_fpn-fqdet-small-frozen_1ep-seed3": "effseg-conv",
    }
    assert four.subject.seed == 4
    assert three.sizes == {"input_size": None, "num_queries": 7, "num_detections": None}
    assert three.detector == FOLDER / "detector.safetensors"


def test_some_of_the_files_are_a_training_of_their_own() -> None:
    (whole,) = jobs(FROZEN, [FROZEN.subject("mask_rcnn"), FROZEN.subject("effseg")], SOURCE, FOLDER)
    part = whole.only(["effseg-sfm-small_fpn-fqdet-small-frozen_1ep-seed0"])
    assert part.name == "effseg-sfm-small_fpn-fqdet-small-frozen_1ep-seed0"
    assert list(part.heads) == ["effseg-sfm"]
    task = Task(subject=part.subject, category_ids=IDS, data="theirs")
    names = {name.rpartition(".")[0].partition(".")[0] for name in part.build(20, task).state_dict()}
    assert names == {"backbone", "neck", "detector", "head"}
    heads = {name.split(".")[2] for name in whole.build(20, task).state_dict() if name.startswith("head.")}
    assert heads == {"mask_rcnn", "effseg-sfm"}
