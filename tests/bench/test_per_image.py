"""Values are found among the samples by their names, and only where the samples give them."""

import numpy as np
import pytest

from bench.per_image import per_image
from bench.record import Value

MS = np.array([10.0, 20.0, 40.0])
SAMPLES = {
    "latency_ms_total": MS,
    "latency_ms_head": MS / 2,
    **{f"macs_{part}": np.array([1, 2, 6]) for part in ("backbone", "neck", "detector", "head")},
    "short": MS[:2],
}


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        (Value(name="latency_ms_median", value=20.0), MS),
        (Value(name="latency_ms_median", value=10.0, at={"phase": "head"}), MS / 2),
        (Value(name="macs_head", value=3.0), [1, 2, 6]),
        (Value(name="macs", value=12.0), [4, 8, 24]),
        (Value(name="fps_paper", value=(100 + 50 + 25) / 3), MS),
        (Value(name="fps_throughput", value=3000 / 70), MS),
        (Value(name="fps_head_isolated", value=2 * (100 + 50 + 25) / 3), MS / 2),
    ],
    ids=lambda given: given.name if isinstance(given, Value) else "",
)
def test_numbers_of_images(value: Value, numbers: list[float]) -> None:
    found = per_image(value, SAMPLES, 3)
    assert found is not None
    np.testing.assert_array_equal(found.array, numbers)
    assert found.statistic(found.array[None])[0] == pytest.approx(value.value)


@pytest.mark.parametrize(
    "value",
    [
        Value(name="latency_ms_p95", value=38.0),
        Value(name="latency_ms_median", value=21.0),
        Value(name="latency_ms_median", value=20.0, at={"phase": "neck"}),
        Value(name="macs_head", value=3.0, at={"stage": 1}),
        Value(name="short", value=15.0),
    ],
    ids=["no array", "another number", "no such phase", "of a part", "of other images"],
)
def test_what_the_samples_do_not_give(value: Value) -> None:
    assert per_image(value, SAMPLES, 3) is None
