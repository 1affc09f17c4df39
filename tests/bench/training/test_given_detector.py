"""Whose detector serves, and what a folder of heads on it keeps of it."""

from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from bench.files import checksum
from bench.model.task import Task
from bench.model.tensors_file import read_tensors
from bench.model.weights import task_of
from bench.model.weights_folder import file, stem
from bench.record import Subject
from bench.training.given_detector import given_detector

TASK = Task(
    subject=Subject(head="effseg", module="sfm", backbone="r50_fpn", preset="paper", schedule="published"),
    category_ids=(1, 2),
    data="train2017",
)
WHOLE = ("backbone", "neck", "detector", "head")


def written(folder: Path, head: str = "effseg", parts: tuple[str, ...] = WHOLE, detector: str | None = None) -> Path:
    """A file of weights with one number in each part."""
    module = "sfm" if head == "effseg" else None
    subject = msgspec.structs.replace(TASK.subject, head=head, module=module)
    task = msgspec.structs.replace(TASK, subject=subject, detector=detector)
    folder.mkdir(parents=True, exist_ok=True)
    path = file(folder, stem(subject))
    tensors = {f"{part}.weight": torch.full((1,), float(place)) for place, part in enumerate(parts)}
    save_file(tensors, path, metadata={"task": msgspec.json.encode(task).decode()})
    return path


def test_a_file_gives_its_own(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = given_detector(path)
    assert (found.path, found.task.subject.head, found.others) == (path, "effseg", ())
    assert found.sentence() == f"detector: that of {path}."


def test_of_several_whole_models_mask_rcnns_serves_and_the_others_are_told(tmp_path: Path) -> None:
    effseg = written(tmp_path)
    assert given_detector(tmp_path).path == effseg
    written(tmp_path, "aaa")
    assert given_detector(tmp_path).path.name.startswith("aaa-")
    baseline = written(tmp_path, "mask_rcnn")
    found = given_detector(tmp_path)
    assert found.path == baseline
    assert "others are in aaa-r50_fpn-paper-published-seed0.safetensors, effseg-sfm-" in found.sentence()


def test_in_a_folder_of_heads_their_common_one_serves(tmp_path: Path) -> None:
    kept = given_detector(written(tmp_path / "whole")).keep(tmp_path / "heads")
    written(tmp_path / "heads", "mask_rcnn", ("head",), detector=checksum(kept))
    assert given_detector(tmp_path / "heads").path == kept
    assert given_detector(tmp_path / "heads").keep(tmp_path / "heads") == kept


def test_what_is_kept_is_the_detector_without_the_head(tmp_path: Path) -> None:
    path = written(tmp_path / "whole")
    given = given_detector(path)
    kept = given.keep(tmp_path / "heads")
    assert kept == tmp_path / "heads" / "detector.safetensors"
    whole, part = read_tensors(path)[0], read_tensors(kept)[0]
    assert part.keys() == whole.keys() - {"head.weight"}
    assert all(torch.equal(part[name], whole[name]) for name in part)
    assert task_of((kept,)) == msgspec.structs.replace(given.task, initial=checksum(path))
    before = kept.read_bytes()
    given.keep(tmp_path / "heads")
    assert kept.read_bytes() == before


def test_heads_of_another_detector_stay_alone(tmp_path: Path) -> None:
    given_detector(written(tmp_path / "whole")).keep(tmp_path / "heads")
    other = given_detector(written(tmp_path / "whole", "mask_rcnn"))
    with pytest.raises(ValueError, match=r"detector\.safetensors is there, and is not the detector of .*mask_rcnn"):
        other.keep(tmp_path / "heads")


def test_whole_models_get_no_detector_beside_them(tmp_path: Path) -> None:
    given = given_detector(written(tmp_path))
    with pytest.raises(ValueError, match=r"holds whole models, such as effseg-sfm.*Give another folder for the heads"):
        given.keep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_has_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no detector in the folder"):
        given_detector(tmp_path)
    with pytest.raises(ValueError, match="nothing cannot be read"):
        given_detector(tmp_path / "nothing")
    alone = written(tmp_path, "mask_rcnn", ("head",), detector="sha256:1")
    for weights, message in ((alone, "holds a head alone"), (tmp_path, "There is no detector in the folder")):
        with pytest.raises(ValueError, match=message):
            given_detector(weights)
    part = given_detector(written(tmp_path / "part", parts=("backbone", "neck", "head")))
    with pytest.raises(ValueError, match="has no whole detector"):
        part.keep(tmp_path / "heads")
    assert not (tmp_path / "heads").exists()
    unnamed = tmp_path / "unnamed.safetensors"
    save_file({"backbone.weight": torch.zeros(1)}, unnamed)
    with pytest.raises(ValueError, match="does not say which model it is of"):
        given_detector(unnamed)
