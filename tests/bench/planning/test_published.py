"""The recipe of published models is about what was imported, and what is compared comes first."""

from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from bench.model import weights_folder
from bench.planning import narrow, recipes
from bench.planning.plan import Cell
from bench.record import Subject


def subject(head: str, detector: str | None = "fqdetv2", backbone: str = "r50_fpn") -> Subject:
    is_effseg = head == "effseg"
    return Subject(
        head=head,
        backend="sps" if is_effseg else None,
        module="sfm" if is_effseg else None,
        backbone=backbone,
        detector=detector,
        preset="paper",
        schedule="published",
    )


def imported(folder: Path, *subjects: Subject) -> Path:
    """A folder with a file of one number for each: who it is of stands in its header."""
    for of in subjects:
        task = msgspec.json.encode({"subject": of, "category_ids": [1], "data": "COCO"}).decode()
        path = weights_folder.file(folder, weights_folder.stem(of))
        save_file({"number": torch.zeros(1)}, path, metadata={"task": task})
    return folder


def probes(cells: list[Cell], head: str) -> list[tuple[str, str | None]]:
    return [(cell.probe, cell.finishing) for cell in cells if cell.subject.head == head]


def test_what_was_imported_is_measured_and_no_other_file(tmp_path: Path) -> None:
    trained = msgspec.structs.replace(subject("refine_mask"), schedule="12ep")
    folder = imported(tmp_path, subject("effseg"), subject("mask_rcnn"), trained)
    cells = recipes.load("published", folder)
    assert list(dict.fromkeys(cell.subject.head for cell in cells)) == ["mask_rcnn", "effseg"]
    assert {cell.recipe for cell in cells} == {"published"}
    measured = [cell.subject for cell in recipes.with_weights(cells, folder)]
    assert {(of.schedule, of.weights[:7]) for of in measured} == {("published", "sha256:")}
    assert len(recipes.load("published", weights_folder.file(folder, weights_folder.stem(subject("effseg"))))) == 6


def test_both_ways_to_finish_masks_are_measured_and_the_authors_first() -> None:
    cells = recipes.load("published")
    assert probes(cells, "effseg") == [
        ("params", None),
        ("box_accuracy", None),
        ("accuracy", "dilated"),
        ("flops", None),
        ("speed", None),
        ("accuracy", "exact"),
    ]
    assert {cell.images for cell in cells if cell.probe in ("accuracy", "box_accuracy")} == {None}
    assert {cell.subject.detector for cell in cells} == {"fqdetv2"}
    assert {cell.finishing for cell in narrow.select(cells, probes=["accuracy"])} == {"dilated", "exact"}


def test_masks_of_torchvision_are_not_dilated(tmp_path: Path) -> None:
    of = subject("torchvision_mask", "torchvision", "r50_tvfpn")
    cells = recipes.load("published", imported(tmp_path, of, subject("point_rend")))
    assert [cell.finishing for cell in cells if cell.probe == "accuracy"] == ["dilated", "exact", "exact"]
    assert ("accuracy", "dilated") not in probes(cells, "torchvision_mask")
    assert len([each for each in probes(cells, "torchvision_mask") if each[0] == "accuracy"]) == 1


def test_a_folder_without_imported_weights_says_how_to_import(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no model that was imported.*import detseg FILE --out"):
        recipes.load("published", imported(tmp_path, msgspec.structs.replace(subject("effseg"), schedule="12ep")))
