"""Training records are read as far as a report needs them; whatever is none is skipped with a word."""

from pathlib import Path

import pytest

from reports.select.trainings import read_trainings
from tests.reports.stores import subject, training


def test_read(tmp_path: Path) -> None:
    training(tmp_path / "b.json", subject(seed=1), mask=[2.0, 1.0])
    training(tmp_path / "a.json", subject(), mask=[3.0])
    first, second = read_trainings(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert second.subject == subject(seed=1)
    assert (second.steps, second.curve) == ((10, 20), {"mask": (2.0, 1.0)})
    assert (second.detector, second.data, second.code.dirty) == ("sha256:d", "glyphs 1 train", True)


def test_the_shipped_ones_can_be_read() -> None:
    folder = Path(__file__).parents[3] / "bench" / "shipped"
    assert len(read_trainings(folder)) == len(list(folder.glob("*.json"))) > 0


def test_what_is_no_training_record_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cut.json").write_text('{"task": ')
    (tmp_path / "other.json").write_text("{}")
    training(tmp_path / "good.json", subject(), mask=[3.0])
    assert [each.name for each in read_trainings(tmp_path)] == ["good"]
    assert "cut.json" in caplog.text
    assert "other.json" in caplog.text
    assert read_trainings(tmp_path / "nowhere") == []
