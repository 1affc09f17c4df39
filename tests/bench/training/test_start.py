"""Which weights a training starts from: of a folder the same head, of a file what it holds."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.model.weights_folder import subjects_in
from bench.planning.own_data import SHIPPED
from bench.training.schedule import SCHEDULES
from bench.training.start import Start, of_file, start_of

OWN = SCHEDULES["own"]


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.stem for path in paths]


def test_a_folder_gives_each_head_its_own_of_the_same_seed() -> None:
    start = start_of(SHIPPED)
    assert names(start.of_head(OWN.subject("effseg", seed=2))) == ["effseg-sfm-small_fpn-small-glyphs-seed2"]
    assert names(start.of_head(OWN.subject("effseg", seed=9))) == ["effseg-sfm-small_fpn-small-glyphs-seed0"]
    assert names(start.of_head(OWN.subject("effseg", module="conv"))) == ["effseg-conv-small_fpn-small-glyphs-seed0"]
    assert names(start.of_head(OWN.on("r50_fpn").subject("effseg"))) == []
    assert names(start.of_head(replace(OWN.subject("effseg"), detector="fqdetv2"))) == []
    assert names(start.of_detector(OWN.detector_subject)) == ["detector", "mask_rcnn-small_fpn-small-glyphs-seed0"]


def test_a_file_gives_what_it_holds() -> None:
    head = next(path for of, path in subjects_in(SHIPPED).items() if of.head == "point_rend")
    start = start_of(head)
    assert start.of_head(OWN.subject("point_rend")) == start.of_detector(OWN.subject("point_rend")) == (head,)
    assert start.of_head(OWN.subject("effseg")) == ()
    assert of_file(head).of_head(OWN.subject("point_rend")) == ()
    assert Start().of_detector(OWN.detector_subject) == ()


def test_files_without_a_note_are_of_no_subject(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 no weights at all", (2).to_bytes(8, "little") + b"{}"):
        (tmp_path / "weights.safetensors").write_bytes(content)
        assert subjects_in(tmp_path) == {}
    with pytest.raises(ValueError, match="There are no weights in"):
        start_of(tmp_path / "nowhere")
