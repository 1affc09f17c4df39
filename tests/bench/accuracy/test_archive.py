"""Match tables survive an npz file without pickle, and are small in it."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accuracy.archive import pack, unpack
from bench.accuracy.matching import match
from bench.accuracy.protocol import PRESETS
from tests.bench.accuracy.scenes import Scene, scene, scenes
from tests.bench.accuracy.tables import assert_equal


@settings(max_examples=30)
@given(st.one_of(scenes(), scenes(lvis=True)))
def test_tables_come_back_from_a_file(each: Scene) -> None:
    matches = match(each.truth, each.predictions, list(PRESETS.values()))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **pack(matches))
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as arrays:
        again = unpack(arrays)
    assert len(again) == len(matches)
    for one, other in zip(again, matches, strict=True):
        assert_equal(one, other)


def test_no_tables_are_no_tables() -> None:
    assert unpack(pack([])) == []


def test_a_detection_takes_few_bytes() -> None:
    each = scene(0, num_images=60, max_inventions=60, side=(20, 30))
    matches = match(each.truth, each.predictions, [PRESETS["coco"]])
    few = match(each.truth, each.predictions, [PRESETS["coco"]], images=[])
    num_bytes = [sum(array.nbytes for array in pack(tables).values()) for tables in (matches, few)]
    assert len(matches[0].score) > 1000
    # The score takes 8, the image 1, two tables of 40 bits 10; the objects take the rest.
    assert num_bytes[0] - num_bytes[1] < 21 * len(matches[0].score)


def test_other_arrays_are_refused() -> None:
    arrays = pack(match(scene(0).truth, scene(0).predictions, [PRESETS["coco"]]))
    with pytest.raises(ValueError, match="hold no match tables that can be read"):
        unpack({name: array for name, array in arrays.items() if name != "0_score"})
    with pytest.raises(ValueError, match="hold no match tables that can be read"):
        unpack(arrays | {"protocols": np.array(['{"name": 1}'])})
    with pytest.raises(ValueError, match="hold no match tables that can be read"):
        unpack({"latencies": np.zeros(3)})
