"""The Python twin of the verb `run`."""

from pathlib import Path

import pytest

import bench


def test_run_gives_the_records_and_finds_them_again(tmp_path: Path) -> None:
    selection = bench.Selection(heads=["effseg", "mask_rcnn"], probes=["params"])
    first = bench.run("heads", results=tmp_path, selection=selection)
    assert [record.get("params_head").value for record in first] == [2_906_192, 4_208_872]
    assert bench.run("heads", results=tmp_path, selection=selection) == first
    assert sorted(entry.record.subject.head for entry in bench.Store(tmp_path)) == ["effseg", "mask_rcnn"]


def test_what_needs_images_is_left_out(tmp_path: Path) -> None:
    assert bench.run("heads", results=tmp_path, selection=bench.Selection(probes=["speed"])) == []


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'heads'"):
        bench.run("hads", results=tmp_path)
