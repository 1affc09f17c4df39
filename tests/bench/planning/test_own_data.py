"""The embedded benchmark brings its data and weights, and the weights are those that their records say."""

from pathlib import Path

import msgspec
import pytest
import torch

from bench.contract import Context
from bench.data.coco import open_images
from bench.data.layout import coco_layout
from bench.files import checksum
from bench.glyphs import CATEGORIES
from bench.model import weights_folder
from bench.model.build import load
from bench.planning import own_data, recipes
from bench.training.job import TrainingRecord

RECORDS = sorted(own_data.SHIPPED.glob("*.json"))


def test_images_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_data, "NUM_IMAGES", 2)
    found = own_data.complete("demo", Context(cache_dir=tmp_path))
    assert found.weights == own_data.SHIPPED
    assert found.data is not None
    assert found.lvis is not None
    assert open_images(found.data.val, lvis=found.lvis).ids == (3_000_000, 3_000_001)  # of the test split
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert own_data.complete("policies", Context(cache_dir=tmp_path)) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_cache_that_cannot_be_written_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_data, "NUM_IMAGES", 1)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be written to .*/file/finegrained-bench/.*XDG_CACHE_HOME"):
        own_data.complete("demo", Context())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = own_data.complete("demo", Context()).data
    assert found is not None
    assert found.root.parent == tmp_path / "cache" / "finegrained-bench"


def test_what_was_given_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_data, "NUM_IMAGES", 1)
    own = Context(cache_dir=tmp_path, data=coco_layout(tmp_path))
    assert own_data.complete("demo", own) == own
    assert own_data.complete("heads", Context(cache_dir=tmp_path)) == Context(cache_dir=tmp_path)
    weights = own_data.complete("demo", Context(cache_dir=tmp_path, weights=tmp_path)).weights
    assert weights == tmp_path


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_shipped_weights_are_those_of_their_record(path: Path) -> None:
    record = msgspec.json.decode(path.read_bytes(), type=TrainingRecord)
    file = path.with_suffix(".safetensors")
    assert record.weights == checksum(file)
    assert record.command.startswith("python run_bench.py train glyphs")
    assert record.code.dirty is False
    losses = sum(torch.tensor(points) for points in record.curve.values())
    assert losses.isfinite().all()
    if path.stem != weights_folder.DETECTOR:
        detector = weights_folder.file(own_data.SHIPPED, weights_folder.DETECTOR)
        assert record.task.detector == checksum(detector)
        assert path.stem == weights_folder.stem(record.task.subject)
        categories = tuple(category.id for category in CATEGORIES)
        load(record.task.subject, Context(weights=own_data.SHIPPED), categories)


def test_every_head_of_the_embedded_recipes_is_shipped_and_small() -> None:
    for name in own_data.EMBEDDED:
        assert recipes.with_weights(recipes.load(name), own_data.SHIPPED)
    assert sum(path.stat().st_size for path in own_data.SHIPPED.iterdir()) < 20e6
