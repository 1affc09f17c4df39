"""Key maps: patterns of names, the reshapings and the exact account, on small tables with answers known by hand."""

from pathlib import Path

import pytest
import torch

from bench.foreign.key_map import Entry, KeyMap

TABLE = """# a comment
[trunk]
a.{layer}	their.{layer}	same

[stack]
b.{p}	t.{i}.lin.{p}	stacked
c.{i}.{p}	c.{i}.{i}.{p}	same
"""


@pytest.fixture
def key_map(tmp_path: Path) -> KeyMap:
    path = tmp_path / "table.tsv"
    path.write_text(TABLE)
    return KeyMap.read(path)


def test_names_are_mapped_by_patterns_and_stacked_by_number(key_map: KeyMap) -> None:
    ours = {"a.x.1.weight": torch.rand(2), "b.weight": torch.rand(3, 2), "c.4.bias": torch.rand(1)}
    theirs = key_map.to_theirs(ours)
    assert list(theirs) == ["their.x.1.weight", "t.0.lin.weight", "t.1.lin.weight", "t.2.lin.weight", "c.4.4.bias"]
    assert theirs["t.1.lin.weight"].equal(ours["b.weight"][1])
    back = key_map.to_ours(theirs, {name: tensor.to("meta") for name, tensor in ours.items()})
    assert back.keys() == ours.keys()
    assert all(back[name].equal(ours[name]) for name in ours)


def test_a_part_is_there_where_the_tensor_of_its_first_line_is(key_map: KeyMap) -> None:
    assert key_map.parts_of_ours(["c.1.bias"]) == ()
    assert key_map.parts_of_ours(["a.1", "b.bias"]) == ("trunk", "stack")
    assert key_map.parts_of_theirs(["t.7.lin.bias"]) == ("stack",)
    assert not key_map.knows("c.1.2.bias")
    assert not key_map.knows("t.x.lin.bias")


def test_what_ours_has_and_theirs_does_not_is_named(key_map: KeyMap) -> None:
    with pytest.raises(ValueError, match=r"1 of 2 tensors have no name in the other code: d\.weight"):
        key_map.to_theirs({"a.x": torch.rand(1), "d.weight": torch.rand(1)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"t.1.lin.weight": None}, "1 missing: t.1.lin.weight"),
        ({"u.weight": (2,)}, "1 unknown: u.weight"),
        ({"t.2.lin.weight": (2,)}, "1 extra: t.2.lin.weight"),
        ({"their.x": (3, 1)}, "1 of another shape: their.x 3x1 instead of 3"),
        ({"their.x": None, "u.0": (1,), "u.1": (1,)}, "1 missing: their.x; 2 unknown: u.0, u.1;"),
        ({f"u.{place}": (1,) for place in range(5)}, "5 unknown: u.0, u.1, u.2, u.3, ...;"),
    ],
)
def test_every_tensor_that_does_not_fit_is_named(
    key_map: KeyMap, change: dict[str, tuple[int, ...] | None], said: str
) -> None:
    like = {"a.x": torch.rand(3), "b.weight": torch.rand(2, 2)}
    theirs = key_map.to_theirs(like)
    for name, shape in change.items():
        if shape is None:
            del theirs[name]
        else:
            theirs[name] = torch.rand(shape)
    with pytest.raises(ValueError, match="Tensors do not fit") as caught:
        key_map.to_ours(theirs, like)
    assert said in str(caught.value)


def test_taps_put_the_kernel_last() -> None:
    entry = Entry(ours="o", theirs=("t",), how="taps")
    given = torch.arange(2 * 9 * 4.0).view(2, 36)
    made = entry.to_ours([given])
    assert made.shape == (2, 4, 3, 3)
    # Row and column of the kernel, then the channel: as a loop would write it.
    assert made[1, 2, 0, 1] == given[1, (0 * 3 + 1) * 4 + 2]
    assert made[0, 3, 2, 0] == given[0, (2 * 3 + 0) * 4 + 3]
    assert entry.to_theirs(made)[0].equal(given)


def test_levels_of_heads_are_reversed_within_each_head() -> None:
    entry = Entry(ours="o", theirs=("t",), how="levels of heads reversed")
    given = torch.arange(8 * 5 * 2.0)[:, None].expand(-1, 3)
    made = entry.to_ours([given])
    assert made.shape == given.shape
    assert made[:, 0].view(8, 5, 2)[3].tolist() == given[:, 0].view(8, 5, 2)[3].flip(0).tolist()
    assert entry.to_theirs(made)[0].equal(given)


def test_transposed_tensors_are_stacked_each() -> None:
    entry = Entry(ours="o", theirs=("t.0", "t.1"), how="transposed, stacked")
    first, second = torch.rand(2, 3), torch.rand(2, 3)
    made = entry.to_ours([first, second])
    assert made.equal(torch.stack([first.T, second.T]))
    assert all(map(torch.equal, entry.to_theirs(made), (first, second)))


def test_the_last_axis_is_dropped() -> None:
    entry = Entry(ours="o", theirs=("t",), how="last axis dropped")
    assert entry.to_ours([torch.rand(2, 3, 1)]).shape == (2, 3)
    assert entry.to_theirs(torch.rand(2, 3))[0].shape == (2, 3, 1)
