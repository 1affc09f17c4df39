"""Listed images out of larger directories: the same part of any of them, what is trained on it and measured with it."""

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bench
from bench import cli
from bench.contract import Context
from bench.data import coco_mini
from bench.data.coco import open_images
from bench.data.coco_mini import IDS, Ids, extract
from bench.data.layout import coco_layout
from bench.files import checksum
from bench.inference.image_run import files_protocol
from bench.model import weights_folder
from bench.model.build import build
from bench.model.task import Task
from bench.model.tensors_file import read_tensors
from bench.model.weights import save_weights
from bench.planning import own_data, recipes
from bench.training.job import TrainingRecord, TrainingSetup
from bench.training.recipe import small_head, small_tuned
from bench.training.schedule import SCHEDULES
from bench.training.start import Start, of_file

FEW = Ids(train=(5, 9), val=(5, 9), lvis=(7, 9))
CATEGORIES = (205, 209, 300)
SIDE = 96

Json = dict[str, list[dict[str, object]]]


def content(*image_ids: int) -> Json:
    """An object of every other class on every image, but none on image 9; one more on image 5 outside of it."""
    boxes = {image_id: [(10, 10, 40, 50)] for image_id in image_ids if image_id != 9}
    if 5 in boxes:
        boxes[5].append((300, 300, 20, 20))
    objects = [
        {"id": 10 * image_id + place, "image_id": image_id, "category_id": CATEGORIES[place], "bbox": [x, y, w, h]}
        | {"area": w * h, "iscrowd": 0, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
        for image_id, of_image in boxes.items()
        for place, (x, y, w, h) in enumerate(of_image)
    ]
    lists = {"neg_category_ids": [300], "not_exhaustive_category_ids": []}
    return {
        "images": [{"id": image_id, "height": SIDE, "width": SIDE, **lists} for image_id in image_ids],
        "annotations": objects,
        "categories": [{"id": i, "name": f"c{i}", "synset": f"c{i}.n.01", "frequency": "f"} for i in CATEGORIES],
    }


def write(root: Path, *image_ids: int) -> Path:
    """A COCO directory of these images, with an LVIS file."""
    (root / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        (root / split).mkdir()
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content(*image_ids)))
        for image_id in image_ids:
            picture = Image.new("RGB", (SIDE, SIDE), (40, 90, 20 * image_id % 256))
            picture.save(root / split / f"{image_id:012d}.jpg")
    (root / "annotations" / "lvis_val.json").write_text(json.dumps(content(*image_ids)))
    return root


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache lies, with few images on the lists."""
    for module in (coco_mini, own_data):
        monkeypatch.setattr(module, "IDS", FEW)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def given_to(root: Path, home: Path) -> Context:
    return Context(data=coco_layout(root), lvis=root / "annotations" / "lvis_val.json", cache_dir=home)


class TestLists:
    def test_they_are_those_of_the_issue(self) -> None:
        assert [len(ids) for ids in (IDS.train, IDS.val, IDS.lvis)] == [495, 215, 65]
        assert all(list(ids) == sorted(set(ids)) for ids in (IDS.train, IDS.val, IDS.lvis))
        assert len(set(IDS.val) & set(IDS.lvis)) == 4
        assert set(IDS.train).isdisjoint({*IDS.val, *IDS.lvis})

    def test_the_small_directory_has_them(self, coco_mini: Path) -> None:
        for ids, name in (
            (IDS.train, "instances_train2017"), (IDS.val, "instances_val2017"), (IDS.lvis, "lvis_v0.5_val_cocofied")
        ):  # fmt: skip
            source = coco_mini / "annotations" / f"{name}.json"
            before, after = json.loads(source.read_bytes()), json.loads(extract(source, ids))
            assert len(after["annotations"]) == len(before["annotations"])
            assert after["categories"] == before["categories"]
            assert [image["id"] for image in after["images"]] == list(ids)


class TestExtract:
    @given(others=st.sets(st.integers(10, 50), max_size=6), data=st.data())
    def test_the_part_is_the_same_in_every_file(
        self, others: set[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("files")
        small, large = content(5, 9), content(*data.draw(st.permutations([5, 9, *others])))
        large["images"] = [dict(reversed(image.items())) for image in large["images"]]
        (folder / "small.json").write_text(json.dumps(small, indent=1))
        (folder / "large.json").write_text(json.dumps({"info": {"year": 2017}, **large}, separators=(",", ":")))
        part = extract(folder / "large.json", (5, 9))
        assert part == extract(folder / "small.json", {9, 5})
        assert json.loads(part) == small

    def test_missing_images_are_counted(self, tmp_path: Path) -> None:
        path = tmp_path / "some.json"
        path.write_text(json.dumps(content(5)))
        with pytest.raises(ValueError, match=r"some\.json lacks 4 of the 5 images .*: 1, 2, 3, \.\.\.;"):
            extract(path, (1, 2, 3, 4, 5))

    @pytest.mark.parametrize("text", ["[]", "{", '{"images": [{"id": 5}], "annotations": [{}], "categories": []}'])
    def test_other_files_are_refused(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "odd.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=r"odd\.json"):
            extract(path, (5,))


class TestComplete:
    def test_other_recipes_and_runs_without_images_keep_what_they_were_given(self, home: Path) -> None:
        context = given_to(home, home)
        assert own_data.complete("main", context) == context
        assert own_data.complete("coco_mini", Context()) == Context()

    def test_large_and_small_directories_are_measured_alike(self, home: Path, tmp_path: Path) -> None:
        small, large = write(tmp_path / "small", 5, 7, 9), write(tmp_path / "large", 2, 9, 7, 5, 11)
        found = [own_data.complete("coco_mini", given_to(root, home)) for root in (small, large)]
        assert found[0].data != found[1].data
        assert files_protocol(found[0]) == files_protocol(found[1]) != files_protocol(given_to(large, home))
        for context in found:
            assert context.data is not None
            images = open_images(context.data.val, lvis=context.lvis)
            assert images.ids == (5, 7, 9)
            assert images.annotations.keys() == {5, 9}
            assert all(path.is_file() for path in images.paths.values())

    def test_it_is_written_once_and_again_where_a_file_changes(self, home: Path, tmp_path: Path) -> None:
        context = given_to(write(tmp_path / "coco", 5, 7, 9), home)
        first = own_data.complete("coco_mini", context)
        before = {path: path.stat().st_mtime_ns for path in home.rglob("*.json")}
        assert own_data.complete("coco_mini", context) == first
        assert {path: path.stat().st_mtime_ns for path in home.rglob("*.json")} == before
        assert context.lvis is not None
        context.lvis.write_text(json.dumps(content(5, 7, 9, 12)))
        assert own_data.complete("coco_mini", context) != first

    def test_without_lvis_only_ap_is_measured(self, home: Path, tmp_path: Path) -> None:
        context = dataclasses.replace(given_to(write(tmp_path / "coco", 5, 7, 9), home), lvis=None)
        found = own_data.complete("coco_mini", context)
        assert found.lvis is None
        assert found.data is not None
        assert open_images(found.data.val).ids == (5, 9)

    def test_what_is_missing_is_said(self, home: Path, tmp_path: Path) -> None:
        context = given_to(write(tmp_path / "coco", 5, 9), home)
        with pytest.raises(ValueError, match=r"lvis_val\.json lacks 1 of the 2 images .*: 7;"):
            own_data.complete("coco_mini", context)
        with pytest.raises(ValueError, match=r"There is no directory .*nowhere.*as the data set"):
            own_data.complete("coco_mini", Context(data=coco_layout(tmp_path / "nowhere")))

    def test_a_cache_that_cannot_be_written_is_said(self, home: Path, tmp_path: Path) -> None:
        context = given_to(write(tmp_path / "coco", 5, 7, 9), home)
        home.write_text("a file")
        with pytest.raises(ValueError, match=r"cannot be written: .*make room"):
            own_data.complete("coco_mini", context)


QUICK = dataclasses.replace(
    SCHEDULES["coco_mini"],
    detector=lambda _: dataclasses.replace(small_tuned(), num_steps=1, images_per_step=2),
    head=lambda _: dataclasses.replace(small_head(3_000), num_steps=1, images_per_step=2),
)
EFFSEG = QUICK.subject("effseg")


def make(folder: Path, coco: Path) -> list[tuple[Path, bool]]:
    return list(TrainingSetup(folder=folder, data=coco_layout(coco), command="train").train(QUICK, [EFFSEG]))


class TestTraining:
    def test_odd_annotations_are_trained_on_and_measured(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Categories far from 1 with holes, an image without objects, an object outside its image; other images."""
        coco, folder = write(tmp_path / "coco", 2, 5, 7, 9), tmp_path / "weights"
        assert [trained for _, trained in make(folder, coco)] == [True, True]

        detector = msgspec.json.decode((folder / "detector.json").read_bytes(), type=TrainingRecord)
        assert QUICK.start.detector is not None
        assert detector.task.initial == checksum(QUICK.start.detector)
        assert detector.task.category_ids == CATEGORIES
        assert detector.fresh == ["detector.class_head.2.bias", "detector.class_head.2.weight"]
        path = folder / f"{weights_folder.stem(EFFSEG)}.json"
        head = msgspec.json.decode(path.read_bytes(), type=TrainingRecord)
        assert (head.task.initial, head.fresh) == (None, [])
        assert head.task.detector == detector.weights
        # At a rate of 1e-6 in the first step nothing has moved far from where it started.
        before, after = read_tensors(QUICK.start.detector)[0], read_tensors(folder / "detector.safetensors")[0]
        assert all(
            torch.allclose(after[name].float(), tensor.float(), atol=1e-3)
            for name, tensor in before.items()
            if name not in detector.fresh
        )

        monkeypatch.setitem(
            recipes.RECIPES,
            "coco_mini",
            lambda: recipes.cells("coco_mini", [EFFSEG], ("accuracy", "accuracy_true_boxes")),
        )
        context = dataclasses.replace(given_to(coco, home), weights=folder)
        for record in bench.run("coco_mini", context, results=tmp_path / "results"):
            assert record.error is None
            assert record.subject.schedule == "coco_mini"
            counts = [record.get(name).value for name in ("images", "ap_images", "ap_star_images")]
            assert counts == [3, 2, 2]

    def test_the_order_of_a_larger_directory_makes_no_difference(self, home: Path, tmp_path: Path) -> None:
        sources = [QUICK.source(coco_layout(write(tmp_path / str(len(ids)), *ids))) for ids in ((5, 9), (11, 9, 3, 5))]
        assert sources[0].content == sources[1].content
        assert sources[0].content.startswith("coco_mini sha256:")
        assert [source.num_images for source in sources] == [2, 2]

    def test_images_that_a_directory_lacks_are_counted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        command = ["train", "coco_mini", "--out", str(tmp_path / "weights")]
        assert cli.main(command) == 2
        assert "with --coco DIR for COCO's own layout" in " ".join(capsys.readouterr().err.split())
        # Without any image at all; with 2 of the 495; with all but a file.
        for name, ids, missing in (("none", (), 495), ("two", (9, 25), 493)):
            root = write(tmp_path / name, *ids)
            assert cli.main([*command, "--coco", str(root)]) == 2
            assert f"lacks {missing} of the 495 images" in " ".join(capsys.readouterr().err.split())
        for module in (coco_mini, own_data):
            monkeypatch.setattr(module, "IDS", FEW)
        root = write(tmp_path / "files", 5, 9)
        (root / "train2017" / "000000000009.jpg").unlink()
        assert cli.main([*command, "--coco", str(root)]) == 2
        assert "lacks 1 of the 2 images of the run: 000000000009.jpg" in " ".join(capsys.readouterr().err.split())

    def test_another_backbone_starts_from_imagenet(self) -> None:
        assert SCHEDULES["coco_mini"].on("r50_fpn").start.detector is None
        assert SCHEDULES["coco_mini"].on("small_fpn") == SCHEDULES["coco_mini"]

    def test_weights_of_which_nothing_fits_are_refused(self, home: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.safetensors"
        subject = QUICK.on("r50_fpn").subject("effseg")
        task = Task(subject=subject, category_ids=CATEGORIES, data="")
        save_weights(build(subject, 3), other, task, parts=("head",))
        schedule = dataclasses.replace(QUICK, start=of_file(other))
        coco = write(tmp_path / "coco", 5, 9)
        with pytest.raises(ValueError, match=r"nothing to start from: none of its \d+ tensors"):
            list(TrainingSetup(folder=tmp_path / "weights", data=coco_layout(coco), command="").train(schedule, []))

    def test_a_training_from_other_weights_is_another_one(self, home: Path, tmp_path: Path) -> None:
        coco, folder = write(tmp_path / "coco", 5, 9), tmp_path / "weights"
        setup = TrainingSetup(folder=folder, data=coco_layout(coco), command="")
        list(setup.train(QUICK, []))
        (folder / "detector.json").unlink()
        fresh = dataclasses.replace(QUICK, start=Start())
        with pytest.raises(ValueError, match=r"belongs to another training: initial 'sha256:.*' instead of None"):
            list(setup.train(fresh, []))
