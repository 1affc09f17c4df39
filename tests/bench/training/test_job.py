"""A folder of weights: what is made of a schedule, what is read from it, and what does not fit together."""

import dataclasses
import os
import shutil
import signal
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from bench import cli
from bench.contract import Context
from bench.data.augment import SMALL_TRAINING
from bench.data.samples import Sample
from bench.files import checksum
from bench.glyphs import CATEGORIES, GlyphDataset
from bench.model import weights_folder
from bench.model.build import build, load, outline
from bench.model.task import Task
from bench.model.tensors_file import read_tensors
from bench.model.weights import save_weights
from bench.planning.frozen import frozen
from bench.planning.recipes import HEADS, cells, with_weights
from bench.probes import params
from bench.record import Subject
from bench.training import TrainingStopped
from bench.training import schedule as schedules
from bench.training.job import TrainingRecord, TrainingSetup
from bench.training.recipe import small, small_head
from bench.training.schedule import SCHEDULES, DataSource, Schedule, heads_on_frozen
from bench.training.start import of_file
from tests.bench.found import numbers_at

GLYPH_IDS = tuple(category.id for category in CATEGORIES)


def few(coco: Path | None) -> DataSource:
    def data(transform: object, seed: int) -> GlyphDataset:
        return GlyphDataset(split="train", num_images=4, transform=SMALL_TRAINING, seed=seed)

    return DataSource(num_images=4, category_ids=GLYPH_IDS, content="four glyphs", data=data)


QUICK = dataclasses.replace(
    SCHEDULES["glyphs"],
    source=few,
    detector=lambda source: dataclasses.replace(small(source.num_images), num_steps=1, images_per_step=1),
    head=lambda _: dataclasses.replace(small_head(3_000), num_steps=2, images_per_step=1),
)
EFFSEG = QUICK.subject("effseg")
AGNOSTIC = QUICK.subject("mask_rcnn", preset="small_agnostic", seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    made = list(TrainingSetup(folder=folder, command="train").train(QUICK, [EFFSEG, AGNOSTIC]))
    assert [path.name for path, _ in made] == [
        "detector.safetensors",
        "effseg-sfm-small_fpn-small-glyphs-seed0.safetensors",
        "mask_rcnn-small_fpn-small_agnostic-glyphs-seed1.safetensors",
    ]
    assert all(trained for _, trained in made)
    return folder


def test_what_is_there_is_not_trained_again(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    again = list(TrainingSetup(folder=folder, command="another").train(QUICK, [AGNOSTIC]))
    assert [trained for _, trained in again] == [False, False]
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_every_file_has_its_record(folder: Path) -> None:
    detector = folder / "detector.safetensors"
    for path in folder.glob("*.safetensors"):
        record = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=TrainingRecord)
        assert record.weights == checksum(path)
        assert record.command == "train"
        assert record.task.data == "four glyphs"
        assert record.task.detector == (None if path == detector else checksum(detector))
        assert record.steps == ([1] if path == detector else [1, 2])
        assert {len(points) for points in record.curve.values()} == {len(record.steps)}
        assert {tensor.dtype for tensor in read_tensors(path)[0].values()} == {torch.float16}


def test_a_model_is_the_detector_of_the_folder_with_its_head(folder: Path) -> None:
    detector = read_tensors(folder / "detector.safetensors")[0]
    assert {name.partition(".")[0] for name in detector} == {"backbone", "neck", "detector"}
    for subject in (EFFSEG, AGNOSTIC):
        head = read_tensors(folder / f"{weights_folder.stem(subject)}.safetensors")[0]
        assert {name.partition(".")[0] for name in head} == {"head"}
        state = load(subject, Context(weights=folder), GLYPH_IDS).state_dict()
        assert state.keys() == detector.keys() | head.keys()
        assert all(torch.equal(state[name], tensor.float()) for name, tensor in {**detector, **head}.items())


def test_costs_are_those_of_the_classes_that_the_weights_have(folder: Path) -> None:
    num_classes = outline(EFFSEG, Context(weights=folder)).detector.class_head[-1].out_features
    assert num_classes == len(GLYPH_IDS) + 1
    assert outline(EFFSEG, Context()).detector.class_head[-1].out_features == 81
    counted = numbers_at(params.measure(EFFSEG, Context(weights=folder)))["params_detector"]
    assert counted < numbers_at(params.measure(EFFSEG, Context()))["params_detector"]


def test_weights_of_other_categories_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"is for other categories: 20, the data has 2.*the data alone has 3, 7"):
        load(EFFSEG, Context(weights=folder), (3, 7))


def test_a_head_of_another_detector_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    detector = tmp_path / "detector.safetensors"
    detector.unlink()
    list(TrainingSetup(folder=tmp_path, command="").train(QUICK.on("small_fpn"), []))
    assert load(EFFSEG, Context(weights=tmp_path))  # the same training gives the same weights
    content = bytearray(detector.read_bytes())
    content[-1] ^= 1
    detector.write_bytes(content)
    with pytest.raises(ValueError, match=r"detector\.safetensors is not the file that detector\.json beside it is"):
        load(EFFSEG, Context(weights=tmp_path))
    detector.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"was trained on another detector than .*detector\.safetensors"):
        load(EFFSEG, Context(weights=tmp_path))


def test_a_head_without_its_detector_is_refused(folder: Path, tmp_path: Path) -> None:
    (name,) = (path.name for path in folder.glob("effseg-sfm-*.safetensors"))
    (tmp_path / name).write_bytes((folder / name).read_bytes())
    for weights in (tmp_path, folder / name):
        with pytest.raises(ValueError, match=r"holds a head alone; expected detector\.safetensors beside it"):
            load(EFFSEG, Context(weights=weights))


def test_every_subject_gets_the_checksum_of_its_own_files(folder: Path) -> None:
    ladder = Subject(head="grid28_binary", weights="none")
    found = with_weights(cells("demo", [EFFSEG, AGNOSTIC, ladder], ["params"]), folder)
    checksums = [cell.subject.weights for cell in found]
    assert len(set(checksums)) == 3
    assert checksums[2] == "none"
    assert [cell.subject.schedule for cell in found] == ["glyphs", "glyphs", "none"]
    missing = QUICK.subject("refine_mask")
    with pytest.raises(ValueError, match=r"There is no file .*refine_mask-small_fpn-small-glyphs-seed0"):
        with_weights(cells("demo", [missing], ["params"]), folder)


def test_a_folder_without_a_detector_holds_whole_models(tmp_path: Path) -> None:
    whole = dataclasses.replace(QUICK, detector=None, head=QUICK.detector, half=False)
    ((path, _),) = TrainingSetup(folder=tmp_path, command="").train(whole, [EFFSEG])
    tensors = read_tensors(path)[0]
    assert {name.partition(".")[0] for name in tensors} == {"backbone", "neck", "detector", "head"}
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert load(EFFSEG, Context(weights=tmp_path), GLYPH_IDS).state_dict().keys() == tensors.keys()


def test_the_papers_schedules_start_from_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.job.imagenet_weights", lambda: None)
    paper: Schedule = dataclasses.replace(SCHEDULES["12ep"], source=few)
    with pytest.raises(ValueError, match="ImageNet weights of ResNet-50 are not on this machine"):
        list(TrainingSetup(folder=tmp_path, command="").train(paper, [paper.subject("mask_rcnn")]))


class Stops(GlyphDataset):
    """Glyphs whose reading is Ctrl-C, once somebody has armed it."""

    armed = False

    def __getitem__(self, index: int) -> Sample:
        if Stops.armed:
            os.kill(os.getpid(), signal.SIGINT)
        return super().__getitem__(index)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    subject = Subject(head="mask_rcnn", backbone="small_fpn", preset="small", schedule="published", seed=5)
    path = weights_folder.file(folder, weights_folder.stem(subject))
    task = Task(subject=subject, category_ids=GLYPH_IDS, data="theirs", num_detections=40)
    save_weights(build(subject, len(GLYPH_IDS)), path, task)
    return path


def frozen_schedule(whole: Path, data: type[GlyphDataset] = GlyphDataset) -> Schedule:
    def source(coco: object) -> DataSource:
        return DataSource(
            num_images=4,
            category_ids=GLYPH_IDS,
            content="four glyphs",
            data=lambda transform, seed: data(split="train", num_images=4, transform=SMALL_TRAINING, seed=seed),
        )

    found = heads_on_frozen(whole)
    recipe = found.head(source(None))
    # Random weights find nothing: the heads learn in true boxes.
    quick = dataclasses.replace(recipe, num_steps=2, images_per_step=1, true_boxes=1.0)
    return dataclasses.replace(found, source=source, head=lambda _: quick)


@pytest.fixture(scope="module")
def made(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Mask R-CNN++ and PointRend++, and what was said."""
    folder, said = tmp_path_factory.mktemp("heads"), list[str]()
    schedule = frozen_schedule(whole)
    subjects = [schedule.subject(head) for head in ("mask_rcnn", "point_rend")]
    files = list(TrainingSetup(folder=folder, command="train", tell=said.append).train(schedule, subjects))
    assert files == [(folder / f"{head}-small_fpn-small-frozen_1ep-seed0.safetensors", True) for head in HEADS[:2]]
    return folder, "\n".join(said)


def test_the_detector_and_the_cost_of_every_head_are_told_before(made: tuple[Path, str], whole: Path) -> None:
    lines = made[1].splitlines()
    assert lines[0] == f"detector: that of {whole}."
    assert lines[1].startswith("cost: 2 images, 1 a step, on 1 process; judged by 2 images of")
    parts = [line.strip().partition(":")[0] for line in lines[2:]]
    assert parts == ["detector, once for all heads", "mask_rcnn", "point_rend", "reading", "together"]


def test_every_head_has_a_file_on_the_detector_that_was_given(made: tuple[Path, str], whole: Path) -> None:
    folder, _ = made
    given = read_tensors(whole)[0]
    detector = {name: tensor for name, tensor in given.items() if not name.startswith("head.")}
    for head, other in (("mask_rcnn", "point_rend"), ("point_rend", "mask_rcnn")):
        subject = frozen_schedule(whole).subject(head)
        model = load(subject, Context(weights=folder), GLYPH_IDS)
        state = model.state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in detector.items())
        initial = build(subject, len(GLYPH_IDS)).state_dict()
        assert any(not torch.equal(state[name], initial[name]) for name in state if name.startswith("head."))
        assert model.detector.config.num_detections == 40
        path = weights_folder.file(folder, weights_folder.stem(subject))
        record = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=TrainingRecord)
        assert record.weights == checksum(path)
        assert record.task.subject == subject
        assert record.task.detector == checksum(folder / "detector.safetensors")
        assert record.beside == (other,)
        assert min(record.curve["mask_28"]) > 0
        assert "class" in record.curve
        assert not any("." in name for name in record.curve)


def test_a_later_head_is_trained_alone_and_the_others_stay(made: tuple[Path, str], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    shutil.copytree(made[0], folder)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    schedule = frozen_schedule(whole)
    subjects = [schedule.subject(head) for head in ("mask_rcnn", "point_rend", "effseg")]
    trained = dict(TrainingSetup(folder=folder, command="more").train(schedule, subjects))
    assert [path.name.partition("-")[0] for path, is_new in trained.items() if is_new] == ["effseg"]
    assert {path: path.read_bytes() for path in before} == before
    again = list(TrainingSetup(folder=folder, command="again").train(schedule, subjects))
    assert not any(is_new for _, is_new in again)


def test_a_file_that_is_lost_comes_from_the_training_that_made_it(
    made: tuple[Path, str], whole: Path, tmp_path: Path
) -> None:
    folder, said = tmp_path / "heads", list[str]()
    shutil.copytree(made[0], folder)
    (lost,) = folder.glob("point_rend*.safetensors")
    content = lost.read_bytes()
    lost.unlink()
    lost.with_suffix(".json").unlink()
    schedule = frozen_schedule(whole, Stops)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stops, "armed", True)  # it must read no picture
        subjects = [schedule.subject(head) for head in ("mask_rcnn", "point_rend")]
        list(TrainingSetup(folder=folder, command="more", tell=said.append).train(schedule, subjects))
    assert lost.read_bytes() == content
    assert len(said) == 1  # nothing is left that would cost anything


def test_it_goes_on_after_ctrl_c_as_if_nothing_had_happened(
    made: tuple[Path, str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = frozen_schedule(whole, Stops)
    subjects = [schedule.subject(head) for head in ("mask_rcnn", "point_rend")]

    def arm(sentence: str) -> None:
        monkeypatch.setattr(Stops, "armed", "together" in sentence)

    with pytest.raises(TrainingStopped, match=r"Step 1 of 2: .*The checkpoint after step 1 is in .*mask_rcnn\+point"):
        list(TrainingSetup(folder=tmp_path, command="train", tell=arm).train(schedule, subjects))
    said = list[str]()
    monkeypatch.setattr(Stops, "armed", False)
    list(TrainingSetup(folder=tmp_path, command="train", tell=said.append).train(schedule, subjects))
    assert "cost: 1 images, 1 a step (1 of 2 steps are done)" in "\n".join(said)
    for path in made[0].glob("*.safetensors"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_what_does_not_fit_is_refused_before_anything_is_written(
    made: tuple[Path, str], whole: Path, tmp_path: Path
) -> None:
    (head,) = made[0].glob("mask_rcnn*.safetensors")
    with pytest.raises(ValueError, match="holds a head alone"):
        heads_on_frozen(head)
    schedule = frozen_schedule(whole)
    other = dataclasses.replace(schedule.source(None), category_ids=(1, 2))
    schedule = dataclasses.replace(schedule, source=lambda _: other)
    with pytest.raises(ValueError, match=r"is for other categories: 20, the data has 2"):
        list(TrainingSetup(folder=tmp_path, command="").train(schedule, [schedule.subject("mask_rcnn")]))
    assert not list(tmp_path.iterdir())
    tensors, notes = read_tensors(whole)
    task = msgspec.structs.replace(msgspec.json.decode(notes["task"], type=Task), input_size=(96, 96))
    large = tmp_path / "large.safetensors"
    save_file(tensors, large, metadata={"task": msgspec.json.encode(task).decode()})
    with pytest.raises(ValueError, match=r"is for inputs of \(96, 96\).*320 x 320"):
        heads_on_frozen(large)


def test_the_recipe_frozen_is_about_these_heads(made: tuple[Path, str], whole: Path) -> None:
    found = with_weights(frozen(made[0]), made[0])
    assert {cell.subject.head for cell in found} == {"mask_rcnn", "point_rend"}
    assert all(cell.subject.weights.startswith("sha256:") for cell in found)
    with pytest.raises(ValueError, match="no head that was trained on a frozen detector"):
        frozen(whole.parent)


class TestVerb:
    def test_it_trains_what_is_asked_for(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(schedules.SCHEDULES, "glyphs", QUICK)
            code = cli.main(["train", "glyphs", "--out", str(folder), "--heads", "effseg"])
        assert code == 0
        assert capsys.readouterr().err.count("In the folder") == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["glyfs"], "Did you mean 'glyphs'"),
            (["glyphs", "--heads", "efseg"], "Did you mean 'effseg'"),
            (["glyphs", "--modules", "smf"], "Did you mean 'sfm'"),
            (["glyphs", "--backbone", "r50_fnp"], "Did you mean 'r50_fpn'"),
            (["heads-on-frozen"], "was given no --weights"),
            (["heads-on-frozen", "--weights", "nowhere"], "nowhere cannot be read"),
            (["heads-on-frozen", "--weights", "x", "--backbone", "r50_fpn"], "The backbone is that of the detector"),
            (["heads-on-frozen", "--views", "3"], "or take the schedule own"),
            (["glyphs", "--epochs", "2"], "or take the schedule heads-on-frozen"),
            (["heads_on_frozen"], "Did you mean 'heads-on-frozen'"),
            (["12ep"], "--coco DIR for COCO's own layout"),
            (["12ep", "--coco", "nowhere"], "--coco nowhere is not there"),
        ],
    )
    def test_what_it_does_not_know_is_refused(
        self, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["train", *arguments, "--out", str(tmp_path)]) == 2
        assert message in " ".join(capsys.readouterr().err.split())

    def test_run_chooses_no_detector(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["run", "frozen", "--train"]) == 2
        assert "run_bench.py train heads-on-frozen --weights PATH" in " ".join(capsys.readouterr().err.split())

    def test_what_comes_next_names_the_data_and_the_folder(
        self, made: tuple[Path, str], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schedules, "heads_on_frozen", lambda *_: frozen_schedule(whole))
            command = [
                "train",
                "heads-on-frozen",
                "--weights",
                str(whole),
                "--out",
                str(made[0]),
                "--heads",
                "mask_rcnn",
            ]
            assert cli.main(command) == 0
        told = " ".join(capsys.readouterr().err.split())
        assert "In the folder" in told
        assert f"Next: run_bench.py run frozen --weights {made[0]}" in " ".join(told.split())


def test_weights_to_start_from_are_not_written_over(tmp_path: Path) -> None:
    """A file of weights without its record counts as missing: it may be anybody's."""
    mine = weights_folder.file(tmp_path, weights_folder.DETECTOR)
    mine.write_bytes(b"mine")
    schedule = dataclasses.replace(QUICK, start=of_file(mine))
    with pytest.raises(ValueError, match=r"detector.safetensors would be written over, and the training starts"):
        next(TrainingSetup(folder=tmp_path, command="train").train(schedule, [EFFSEG]))
    assert mine.read_bytes() == b"mine"
