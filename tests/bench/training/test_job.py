"""A folder of weights: what is made of a schedule, what is read from it, and what does not fit together."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch

from bench import cli
from bench.contract import Context
from bench.data.augment import SMALL_TRAINING
from bench.files import checksum
from bench.glyphs import CATEGORIES, GlyphDataset
from bench.model import weights_folder
from bench.model.build import load, outline
from bench.model.tensors_file import read_tensors
from bench.planning.recipes import cells, with_weights
from bench.probes import params
from bench.record import Subject
from bench.training import schedule as schedules
from bench.training.job import TrainingRecord, TrainingSetup
from bench.training.recipe import small, small_head
from bench.training.schedule import SCHEDULES, DataSource, Schedule
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
            (["12ep"], "Give that directory as `coco`"),
            (["12ep", "--coco", "nowhere"], "There is no directory"),
        ],
    )
    def test_what_it_does_not_know_is_refused(
        self, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["train", *arguments, "--out", str(tmp_path)]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
