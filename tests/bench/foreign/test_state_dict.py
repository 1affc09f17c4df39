"""State dicts in checkpoints: found, chosen where there are several, without prefixes, in float32."""

import pytest
import torch

from bench.foreign.state_dict import SeveralEntries, state_dict

PLAIN = {"a.weight": torch.rand(2, 3), "a.bias": torch.rand(2)}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(2), "step": torch.zeros(())}}, "param_groups": [{"lr": 1.0}]}


@pytest.mark.parametrize(
    ("content", "entry", "epoch"),
    [
        (PLAIN, None, None),
        ({"model": PLAIN, "epoch": 12}, "model", 12),
        ({"state_dict": PLAIN, "meta": {"epoch": 3}}, "state_dict", None),
        ({"model": PLAIN, "optimizer": OPTIMIZER, "scheduler": {"last_epoch": 2}, "epoch": 9}, "model", 9),
        ({"ema": {"module": PLAIN}}, "ema.module", None),
    ],
)
def test_the_one_state_dict_is_found(content: object, entry: str | None, epoch: int | None) -> None:
    found = state_dict(content, "The file")
    assert (found.entry, found.epoch, found.notes) == (entry, epoch, ())
    assert found.tensors.keys() == PLAIN.keys()
    assert all(found.tensors[name].equal(PLAIN[name]) for name in PLAIN)


def test_several_are_asked_about_and_one_is_named() -> None:
    content = {"model": PLAIN, "model_ema": {name: tensor + 1 for name, tensor in PLAIN.items()}}
    with pytest.raises(SeveralEntries, match=r"2 sets of weights: model \(2 tensors\), model_ema \(2 tensors\)") as one:
        state_dict(content, "The file")
    assert one.value.entries == ("model", "model_ema")
    assert state_dict(content, "The file", "model_ema").tensors["a.bias"].equal(PLAIN["a.bias"] + 1)
    with pytest.raises(ValueError, match="no weights in the entry 'ema'; it has model, model_ema;"):
        state_dict(content, "The file", "ema")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OPTIMIZER, "it is the state of an optimizer alone"),
        ({"optimizer": OPTIMIZER, "epoch": 3}, "it is the state of an optimizer alone"),
        ({"epoch": 3, "args": None}, "its entries are epoch, args"),
        ({}, "it is empty"),
        ([torch.zeros(1)], "it is an object of type list"),
        (torch.zeros(1), "it is a single tensor"),
    ],
)
def test_what_has_no_weights_is_described(content: object, said: str) -> None:
    with pytest.raises(ValueError, match="The file has no weights of a model") as caught:
        state_dict(content, "The file")
    assert said in str(caught.value)


def test_prefixes_of_wrappers_are_taken_off_and_said() -> None:
    found = state_dict({f"module._orig_mod.{name}": tensor for name, tensor in PLAIN.items()}, "The file")
    assert found.tensors.keys() == PLAIN.keys()
    assert found.notes == (
        "the prefix module. taken off 2 names",
        "the prefix _orig_mod. taken off 2 names",
    )
    # A model may have a part of that name: only what every tensor has is a wrapper's.
    assert "module.a" in state_dict({"module.a": torch.zeros(1), "b": torch.zeros(1)}, "The file").tensors


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^The file holds NaN or infinite numbers in 1 of 2 tensors: b; expected"):
        state_dict({"a": torch.zeros(1), "b": torch.tensor([1.0, torch.inf])}, "The file")


def test_other_widths_become_float32_and_are_said() -> None:
    given = {"a": torch.rand(2).half(), "b": torch.rand(2).half(), "c": torch.rand(2).double(), "d": torch.arange(2)}
    found = state_dict(given, "The file")
    assert [tensor.dtype for tensor in found.tensors.values()] == [torch.float32] * 4
    assert found.tensors["a"].equal(given["a"].float())
    assert found.notes == (
        "2 tensors converted from float16 to float32",
        "1 tensors converted from float64 to float32",
        "1 tensors converted from int64 to float32",
    )
