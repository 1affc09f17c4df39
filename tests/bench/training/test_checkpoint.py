"""Checkpoints: what was written is what is read, damage and strangers are named, the one before is offered."""

import dataclasses
import pickle
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor

from bench import machine
from bench.model.tensors_file import read_tensors
from bench.model.weights import DETECTOR, load_parts, save_weights
from bench.training import Task, checkpoint
from bench.training.checkpoint import State, steps
from tests.bench.training.made_up import RECIPE, model, task


def tensors(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"model.a": torch.randn(3, 2, generator=generator), "optimiser.b": torch.randn(4, generator=generator)}


def written(directory: Path, *at: int) -> None:
    for step in at:
        state = State(
            step=step,
            task=task(),
            recipe=RECIPE.described(),
            losses={"box": 0.5},
            log_bytes=7,
            seconds=1.5,
            machine=machine.card(),
            code=machine.code(),
        )
        checkpoint.write(directory, state, tensors(step))


def test_the_newest_comes_back_bit_by_bit_and_two_are_kept(tmp_path: Path) -> None:
    written(tmp_path, 5, 10, 100)
    found = tensors(0)
    state = checkpoint.restore(tmp_path, task(), RECIPE, found)
    assert state is not None
    assert (state.step, state.losses, state.log_bytes) == (100, {"box": 0.5}, 7)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors(100).items())
    assert steps(tmp_path) == [10, 100]
    assert len(list(tmp_path.iterdir())) == 4


def test_an_empty_directory_has_none(tmp_path: Path) -> None:
    assert checkpoint.restore(tmp_path, task(), RECIPE, tensors(0)) is None


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_for_a_truncated_checkpoint_the_one_before_is_offered(suffix: str, tmp_path: Path) -> None:
    written(tmp_path, 5, 10)
    damaged = tmp_path / f"step-10.{suffix}"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"after step 10 is damaged.*after step 5 is whole.*delete.*step-10\.\*"):
        checkpoint.restore(tmp_path, task(), RECIPE, tensors(0))
    for path in tmp_path.glob("step-10.*"):  # as the message says
        path.unlink()
    state = checkpoint.restore(tmp_path, task(), RECIPE, tensors(0))
    assert state is not None
    assert state.step == 5


def test_every_change_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    written(tmp_path, 5, 10)
    state = tmp_path / "step-10.json"
    content = state.read_bytes()
    for changed in (b'"log_bytes": 7', b'"losses": {\n    "box": 0.5', b'"seconds": 1.5'):
        assert changed in content
        state.write_bytes(content.replace(changed, changed[:-1] + b"6"))
        with pytest.raises(ValueError, match=r"step-10\.json has changed since it was written.*after step 5 is whole"):
            checkpoint.restore(tmp_path, task(), RECIPE, tensors(0))


def test_without_another_one_a_damaged_checkpoint_is_only_named(tmp_path: Path) -> None:
    written(tmp_path, 5)
    (tmp_path / "step-5.safetensors").unlink()
    with pytest.raises(ValueError, match=r"step 5 is damaged.*no other one"):
        checkpoint.restore(tmp_path, task(), RECIPE, tensors(0))


def other(**changes: object) -> Task:
    return msgspec.structs.replace(task(), subject=msgspec.structs.replace(task().subject, **changes))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (other(head="effseg"), "head 'mask_rcnn' instead of 'effseg'"),
        (other(preset="paper", seed=3), "preset 'small' instead of 'paper'; seed 0 instead of 3"),
        (msgspec.structs.replace(task(), data="others"), "data 'shapes' instead of 'others'"),
        (msgspec.structs.replace(task(), category_ids=(3, 8, 90, 91)), "it alone has 7; the data alone has 8, 91"),
        (msgspec.structs.replace(task(), category_ids=(7, 3, 90)), "in another order"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(wanted: Task, message: str, tmp_path: Path) -> None:
    written(tmp_path, 5)
    with pytest.raises(ValueError, match=message):
        checkpoint.restore(tmp_path, wanted, RECIPE, tensors(0))


def test_a_checkpoint_of_another_recipe_or_with_other_tensors_is_refused(tmp_path: Path) -> None:
    written(tmp_path, 5)
    with pytest.raises(ValueError, match=r"learning_rate 0\.001 instead of 0\.1"):
        checkpoint.restore(tmp_path, task(), dataclasses.replace(RECIPE, learning_rate=0.1), tensors(0))
    found = {"model.a": torch.zeros(3, 3), "model.c": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"missing: model\.c.*unexpected: optimiser\.b.*model\.a \(3, 2\) instead of"):
        checkpoint.restore(tmp_path, task(), RECIPE, found)
    assert not found["model.a"].any()


def test_the_detector_of_one_head_serves_another(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    trained, fresh = model(task()), model(task("effseg", seed=1))
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    save_weights(trained, path, task(), dtype=torch.float16)
    load_parts(fresh, path, DETECTOR, task().category_ids)
    for name, tensor in fresh.state_dict().items():
        expected = before[name] if name.startswith("head.") else trained.state_dict()[name].half().float()
        assert torch.equal(tensor, expected), name
    with pytest.raises(ValueError, match="alone has 90; the data alone has 91"):
        load_parts(fresh, path, DETECTOR, (3, 7, 91))
    with pytest.raises(ValueError, match=r"another model: .*missing: head"):
        load_parts(fresh, path, ("head",), task().category_ids)


def test_a_pickle_is_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for content in (pickle.dumps({"a": 1}), b"", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a pickle"):
            read_tensors(path)
    with pytest.raises(ValueError, match="check the path"):
        read_tensors(tmp_path / "absent")
