"""Told to end by SIGTERM, a training says so; a rank is not interrupted while it says what happened."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from bench.files import write_whole
from bench.training import TrainingStopped, checkpoint, train
from bench.training.collectives import stop_on_sigterm
from tests.bench.training.made_up import RECIPE, Shapes, model, task


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The signals that would have ended the process."""
    signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    yield signals
    signal.signal(signal.SIGTERM, before)


def leave_with_an_error() -> NoReturn:
    raise OSError("the disk is gone")


@pytest.mark.parametrize(("leave", "said"), [(end, "told to end"), (leave_with_an_error, "the disk is gone")])
def test_a_rank_that_leaves_with_an_error_finishes_its_message(
    leave: object, said: str, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(leave)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises((TrainingStopped, OSError), match=said), stop_on_sigterm():
        leave()
    end()
    assert heard == []


def test_a_process_alone_hears_again_afterwards(heard: list[int]) -> None:
    with stop_on_sigterm():
        pass
    end()
    with pytest.raises(TrainingStopped, match="told to end"), stop_on_sigterm():
        end()
    end()
    assert heard == [signal.SIGTERM] * 2


def test_a_training_is_told_to_end_at_any_moment(
    tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between two steps, while a checkpoint is written."""

    def told_while_writing(path: Path, content: bytes) -> None:
        write_whole(path, content)
        if path.name == "step-4.json":
            end()

    monkeypatch.setattr(checkpoint, "write_whole", told_while_writing)
    with pytest.raises(TrainingStopped, match=r"Step 4 of 6: .*told to end.*after step 2 is in .* goes on from there"):
        train(model(task()), Shapes(), RECIPE, tmp_path, task(), checkpoint_every=2)
    assert heard == []
