"""Certificates find every bug that is planted in a backend, and fail what proves nothing."""

import gzip
import json
from collections.abc import Callable

import pytest

from bench.backends.certificate import certify
from bench.contract import Context
from bench.names import NO_WAITING
from bench.probes import certificate as probe
from bench.record import Subject
from sparsity import backend
from tests.bench.backends.toy_backend import BUGS, SMALL, TOY, plant, quick
from tests.bench.found import numbers_at, rows_at

__all__ = ["plant"]

pytestmark = pytest.mark.usefixtures("unchecked")


def test_a_backend_of_one_file_is_found_and_examined(plant: Callable[[str], None]) -> None:
    plant(TOY)
    certificate = quick("toy")
    assert certificate.failures == []
    assert certificate.unsupported == ["sample", "deform_conv3"]
    assert {check.outcome for check in certificate.checks} == {"equal", "cannot"}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_fails(bug: str, plant: Callable[[str], None]) -> None:
    line, wrong, operation = BUGS[bug]
    assert TOY.count(line) == 1
    plant(TOY.replace(line, wrong))
    failed = {failure.operation for failure in quick("toy").failures}
    assert operation in failed
    assert failed.isdisjoint({"sample", "deform_conv3"})


def test_each_bug_is_found_where_it_is(plant: Callable[[str], None]) -> None:
    line, wrong, _ = BUGS["only far taps wrong"]
    plant(TOY.replace(line, wrong))
    assert {failure.operation for failure in quick("toy", "float64").failures} == {"conv3_d5", "sfm", "depthwise"}
    line, wrong, _ = BUGS["passive without gradient"]
    plant(TOY.replace(line, wrong))
    quantities = {failure.quantity for failure in quick("toy", "float64").failures}
    assert quantities == {"gradient of passive", "gradient of active"}


def test_waiting_for_the_device_is_noted_and_no_failure(plant: Callable[[str], None]) -> None:
    line = "down, right = offsets.unbind(1)"
    plant(TOY.replace(line, f"assert offsets.abs().max().item() < 99\n        {line}"))
    certificate = quick("toy")
    assert certificate.failures == []
    assert NO_WAITING in certificate.unsupported
    assert not [check for check in certificate.checks if check.operation == NO_WAITING and check.outcome == "equal"]


# What every backend must do: a line of the toy before which it refuses, and an operation that must fail.
CORE = {
    "dense": ("regions, _, height, width = features.shape", "subdivide"),
    "active": ("return self.rows[self.cells.long()]", "linear"),
    "with_active": ("rows = self.rows\n        if active", "overwrite"),
    "map": ("return Backend(function(self.rows), self.cells, self.size)", "subdivide"),
    "subdivide": ("regions, height, width = self.size\n        full =", "subdivide"),
}


@pytest.mark.parametrize("method", CORE)
def test_no_backend_may_refuse_what_all_must_do(method: str, plant: Callable[[str], None]) -> None:
    line, operation = CORE[method]
    assert TOY.count(line) == 1
    plant(TOY.replace(line, f"raise Unsupported('Not this.')\n        {line}"))
    failures = quick("toy", histories=("scattered",)).failures
    assert operation in {failure.operation for failure in failures}
    assert {failure.outcome for failure in failures} == {"broken"}


def test_a_backend_that_cannot_even_subdivide_is_examined_before_it(plant: Callable[[str], None]) -> None:
    plant(TOY.replace("cells = children_of", "raise Unsupported('Dense only.'); cells = children_of"))
    certificate = quick("toy", histories=("scattered",))
    assert {failure.operation for failure in certificate.failures} == {"subdivide"}
    assert {check.stage for check in certificate.checks if check.outcome == "equal"} == {0}


def test_what_a_backend_offers_it_must_offer_everywhere(plant: Callable[[str], None]) -> None:
    line = "down, right = offsets.unbind(1)"
    refusal = "if len(self.cells) < len(self.rows): raise Unsupported('Only where all cells are active.')"
    plant(TOY.replace(line, f"{refusal}\n        {line}"))
    certificate = quick("toy", histories=("scattered",))
    failed = {failure.operation for failure in certificate.failures}
    assert {"conv3_d1", "sfm", "gather", "gather_far"} <= failed
    # What it refuses everywhere is still no failure, such as to convolve after a subdivision, which keeps a third.
    assert certificate.unsupported == ["conv3_after_subdivide", "sample", "deform_conv3"]
    assert all(failure.stage > 0 for failure in certificate.failures)
    assert "Elsewhere it can, but here: Unsupported: Only where" in certificate.failures[0].reason


@pytest.mark.parametrize(
    ("error", "dtype", "outcome"),
    [
        ("RuntimeError('\"bmm\" not implemented for \\'Half\\'')", "float16", "missing"),
        ("RuntimeError('\"bmm\" not implemented for \\'BFloat16\\'')", "bfloat16", "missing"),
        ("RuntimeError('\"bmm\" not implemented for \\'Float\\'')", "float16", "broken"),
        ("RuntimeError('\"bmm\" not implemented for \\'Half\\'')", "float32", "broken"),
        ("NotImplementedError('not implemented for \\'Half\\'')", "float16", "broken"),
        ("NotImplementedError('not implemented for you')", "float32", "broken"),
    ],
)
def test_only_half_precision_may_be_missing_in_torch(
    error: str, dtype: str, outcome: str, plant: Callable[[str], None]
) -> None:
    plant(TOY.replace("raise Unsupported('The toy does not sample.')".replace("'", '"'), f"raise {error}"))
    certificate = certify(backend("toy"), histories=SMALL[:1], dtypes=[dtype])
    assert {check.outcome for check in certificate.checks if check.operation == "sample"} == {outcome}
    assert bool(certificate.failures) == (outcome == "broken")


@pytest.mark.parametrize(
    "wrong",
    [
        'return {"features": 1}',
        'return {"features": self.rows.nbytes}',
        'raise Unsupported("Nobody counts.")',
        "raise KeyError('lost')",
    ],
)
def test_stored_bytes_are_those_that_are_held(wrong: str, plant: Callable[[str], None]) -> None:
    line = 'return {"features": self.rows.nbytes, "index": self.cells.nbytes}'
    assert TOY.count(line) == 1
    plant(TOY.replace(line, wrong))
    assert {failure.operation for failure in quick("toy", histories=("scattered",)).failures} == {"storage"}


def test_memory_behind_a_view_or_in_a_list_is_held_too(plant: Callable[[str], None]) -> None:
    line = "self.rows, self.cells, self.size = rows, cells, size"
    plant(TOY.replace(line, f"{line}\n        self.more = {{'kept': [torch.zeros(8)[:2]]}}"))
    failures = [
        failure for failure in quick("toy", histories=("scattered",)).failures if failure.operation == "storage"
    ]
    assert {failure.absolute for failure in failures} == {32.0}


def test_a_wrong_gather_is_found_behind_a_right_convolution(plant: Callable[[str], None]) -> None:
    """Neither convolution nor sampling of its own says that `gather` is right."""
    own = """
    def conv2d(self, weight, bias, dilation):
        from sparsity import window
        from sparsity._ops import contract
        return contract(self._taps(window(weight.shape[-1], dilation, weight.device)), weight, bias)

    def gather(self, offsets):
        return self._taps(offsets).flip(1) + 7
"""
    plant(TOY.replace("def gather(self", "def _taps(self") + own)
    assert {failure.operation for failure in quick("toy", histories=("scattered",)).failures} == {
        "gather",
        "gather_far",
        "depthwise",  # which has none of its own here and so reads `gather`
    }


def test_the_probe_keeps_worst_errors_counts_and_reasons(
    plant: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.backends.certificate.make_histories", lambda: SMALL[:1])
    line, wrong, _ = BUGS["wrong neighbour"]
    plant(TOY.replace(line, wrong))
    measurement = probe.measure(Subject(backend="toy", weights="none"), Context())
    values = numbers_at(measurement)
    assert values["failed"] > 0
    assert values["unsupported"] == 2
    units = {name: row.unit for name, row in rows_at(measurement).items()}
    assert units == {"checks": "checks", "failed": "checks", "unsupported": "operations"}
    wrong_one = numbers_at(measurement, operation="conv3_d1", passes="forward", dtype="float32")
    assert wrong_one["error"] > 0.1
    assert wrong_one["error_absolute"] > 0.1
    # All three stages are wrong, in four dtypes forward.
    assert wrong_one["failed"] == 3
    assert "failed" not in numbers_at(measurement, operation="linear", passes="forward", dtype="float32")
    assert numbers_at(measurement, operation="linear", passes="gradient", dtype="float64")["error"] < 1e-11
    assert not numbers_at(measurement, operation="sample", passes="forward", dtype="float32")
    assert sum(row.value for row in measurement.values if row.name == "failed" and row.at) == values["failed"]
    failures = json.loads(measurement.files["failures.json"])
    assert len(failures) == values["failed"]
    assert {"operation", "activity", "stage", "dtype", "quantity", "relative", "limit"} <= failures[0].keys()
    assert json.loads(measurement.files["unsupported.json"])["sample"] == "Unsupported: The toy does not sample."
    checks = json.loads(gzip.decompress(measurement.files["checks.json.gz"]))
    assert len(checks) == values["checks"]


def test_the_same_backend_has_the_same_certificate_and_a_changed_one_needs_another(
    plant: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.backends.certificate.make_histories", lambda: SMALL[:1])
    plant(TOY)
    subject, context = Subject(backend="toy", weights="none"), Context()
    first, second = (probe.measure(subject, context) for _ in range(2))
    assert first == second
    assert "failures.json" not in first.files
    before = probe.protocol(subject, context)
    assert probe.protocol(subject, context) == before
    plant(TOY + "\n")
    assert probe.protocol(subject, context) != before
