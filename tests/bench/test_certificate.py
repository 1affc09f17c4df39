"""Certificates: right backends pass, every planted bug is found, what a backend cannot do is no failure."""

import gzip
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from torch import Tensor

import sparsity
from bench.certificate import NO_WAITING, Certificate, certify
from bench.operations import OPERATIONS
from bench.plan import Context
from bench.probes import certificate as probe
from bench.record import Subject
from bench.scenes import make_scenes
from bench.trial import Check, _compared
from sparsity import Unsupported, backend, names

OBJECTS, *SMALL = make_scenes()

# A complete backend in one file: a full map as rows, everything else left to the operations of `sparsity`.
TOY = '''"""Toy: a full map, every operation by gathering."""

import torch

from sparsity import Unsupported, children_of, unravel


class Backend:
    def __init__(self, rows, cells, size):
        self.rows, self.cells, self.size = rows, cells, size

    @classmethod
    def dense(cls, features):
        regions, _, height, width = features.shape
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)
        return cls(rows, torch.arange(len(rows), dtype=torch.int32, device=rows.device), (regions, height, width))

    @property
    def active(self):
        return self.rows[self.cells.long()]

    def with_active(self, active):
        rows = self.rows
        if active.shape[1] != rows.shape[1]:
            rows = rows.new_empty(len(rows), active.shape[1])
        return Backend(rows.index_put((self.cells.long(),), active), self.cells, self.size)

    def map(self, function):
        return Backend(function(self.rows), self.cells, self.size)

    def subdivide(self, keep, children):
        regions, height, width = self.size
        full = self.rows.unflatten(0, self.size).repeat_interleave(2, 1).repeat_interleave(2, 2)
        cells = children_of(self.cells[keep], self.size)
        rows = full.flatten(0, 2).index_put((cells.long(),), children)
        return Backend(rows, cells, (regions, 2 * height, 2 * width))

    def gather(self, offsets):
        regions, height, width = self.size
        region, row, column = unravel(self.cells, self.size)
        down, right = offsets.unbind(1)
        row, column = row[:, None] + down, column[:, None] + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = ((region[:, None] * height + row) * width + column) * inside
        return self.rows[place.long()] * inside[..., None]

    def sample(self, points):
        raise Unsupported("The toy does not sample.")

    def to_dense(self):
        return self.rows.unflatten(0, self.size).permute(0, 3, 1, 2)

    def storage(self):
        return {"features": self.rows.nbytes, "index": self.cells.nbytes}
'''

# What goes wrong: a line of the toy, its wrong version, and an operation that must fail.
BUGS = {
    "wrong neighbour": ("down, right = offsets.unbind(1)", "right, down = offsets.unbind(1)", "conv3_d1"),
    "border forgotten": (
        "inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)",
        "inside = (row >= 0) & (row < height) & (column >= 0) & (column <= width)",
        "conv3_d1",
    ),
    "only far taps wrong": ("right = offsets.unbind(1)", "right = (offsets.clamp(-4, 4)).unbind(1)", "conv3_d5"),
    "stale copy": (
        "return Backend(rows.index_put((self.cells.long(),), active), self.cells, self.size)",
        "made = Backend(rows.index_put((self.cells.long(),), active), self.cells, self.size)\n"
        "        if len(rows) > len(active):\n"
        "            made.gather = self.gather\n"
        "        return made",
        "conv3_after_overwrite",
    ),
    "passive ignored": (
        "return self.rows[place.long()] * inside[..., None]",
        "return (self.rows * torch.isin(torch.arange(len(self.rows)), self.cells)[:, None])[place.long()]"
        " * inside[..., None]",
        "conv3_d1",
    ),
    "passive not mapped": (
        "return Backend(function(self.rows), self.cells, self.size)",
        "mapped, old = function(self.rows), self.rows\n"
        "        return Backend(old[:, : mapped.shape[1]].index_put((self.cells.long(),), mapped[self.cells.long()]),"
        " self.cells, self.size)",
        "conv3_after_halving",
    ),
    "passive without gradient": (
        "full = self.rows.unflatten(",
        "full = self.rows.detach().unflatten(",
        "conv3_d1",
    ),
    "children swapped": (
        "cells = children_of(self.cells[keep], self.size)",
        "cells = children_of(self.cells[keep], self.size).view(-1, 4)[:, [0, 2, 1, 3]].flatten()",
        "cells",
    ),
    "not finite": ("* inside[..., None]", "/ inside[..., None]", "conv3_d1"),
    "half the digits": (
        "return self.rows[place.long()] * inside[..., None]",
        "return self.rows.half().to(self.rows)[place.long()] * inside[..., None]",
        "conv3_d1",
    ),
    "other dtype": ("return self.rows[self.cells.long()]", "return self.rows[self.cells.long()].double()", "overwrite"),
    "exception": ("region, row, column = unravel", "raise KeyError('lost'); region, row, column = unravel", "conv3_d1"),
}


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    """Switch the checks of shapes off: over thousands of tiny comparisons they take ten times as long as all else."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Write the one file of a backend named `toy` to where `sparsity` finds it."""
    monkeypatch.setattr(sparsity, "__path__", [*sparsity.__path__, str(tmp_path)])

    def write(source: str) -> None:
        sys.modules.pop("sparsity.toy", None)
        (tmp_path / "toy.py").write_text(source)

    yield write
    sys.modules.pop("sparsity.toy", None)
    if hasattr(sparsity, "toy"):
        del sparsity.toy


def quick(
    name: str, dtype: str = "float32", scenes: tuple[str, ...] = ("scattered", "passive_region", "borders")
) -> Certificate:
    """By default three scenes that between them catch every planted bug."""
    wanted = [scene for scene in SMALL if scene.name in scenes]
    return certify(backend(name), scenes=wanted, dtypes=[dtype])


@pytest.mark.parametrize("name", names("sparsity"))
def test_every_backend_of_the_folder_gets_its_certificate(name: str) -> None:
    certificate = certify(backend(name), scenes=SMALL, dtypes=["float32", "bfloat16"])
    assert certificate.failures == []
    examined = {check.operation for check in certificate.checks}
    assert examined == {operation.name for operation in OPERATIONS} | {NO_WAITING, "storage"}
    assert {check.activity for check in certificate.checks} == {scene.name for scene in SMALL}


@pytest.mark.parametrize("name", names("sparsity"))
def test_every_backend_is_right_at_the_feature_sizes_of_effseg(name: str) -> None:
    certificate = certify(backend(name), scenes=[OBJECTS], dtypes=["float16"])
    assert certificate.failures == []
    assert {check.stage for check in certificate.checks} == {0, 1, 2, 3}


def test_the_realistic_scene_is_as_sparse_as_the_paper_s_operating_point() -> None:
    regions, height, width = OBJECTS.size
    fractions = [
        4 * len(keep) / (regions * height * width * 4**stage) for stage, keep in enumerate(OBJECTS.keeps, start=1)
    ]
    assert fractions == pytest.approx([0.510, 0.128, 0.032], abs=1e-3)
    assert OBJECTS.features[1:] == (128, 64, 32)


def test_scenes_are_what_their_names_say() -> None:
    kept = {scene.name: [len(keep) for keep in scene.keeps] for scene in SMALL}
    assert kept["empty"] == [0, 0]
    assert kept["full"] == [2 * 4 * 5, 2 * 8 * 10]
    assert kept["no_regions"] == [0, 0]
    assert kept["borders"][0] == 3 * 14
    passive = next(scene for scene in SMALL if scene.name == "passive_region")
    *_, last = passive.replay(backend("dense"), [torch.zeros(shape) for shape in passive.shapes()])
    region, _, _ = sparsity.unravel(last.cells, last.size)
    assert region.unique().tolist() == [0, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sps_equals_sparse_on_dense_bit_for_bit(dtype: torch.dtype) -> None:
    """The reference kernel gathers the same rows in the same order, wherever they are stored."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def rounded(value: Tensor) -> Tensor:
        return value.to(dtype) if value.is_floating_point() else value

    # With other rows beside them, rows may be rounded differently by one matrix product, so layers are left out.
    gathering = [operation for operation in OPERATIONS if not {"linear", "halving"} & set(operation.name.split("_"))]
    assert len(gathering) == len(OPERATIONS) - 3
    for scene in (OBJECTS, *SMALL):
        numbers = [rounded(normal(*shape)) for shape in scene.shapes()]
        others = scene.replay(backend("sparse_on_dense"), numbers)
        for sps, on_dense in zip(scene.replay(backend("sps"), numbers), others, strict=True):
            for operation in gathering:
                inputs = {name: rounded(value) for name, value in operation.draw(sps, normal, False).items()}
                assert torch.equal(operation.run(sps, inputs), operation.run(on_dense, inputs)), operation.name


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
    assert {failure.operation for failure in quick("toy", "float64").failures} == {"conv3_d5", "sfm"}
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


@pytest.mark.parametrize("name", ["dense", "neighbors", "pointwise", "sparse_on_dense", "sps"])
def test_only_neighbors_waits_for_the_device(name: str) -> None:
    """It counts the neighbours that a subdivision leaves, and says so."""
    unsupported = certify(backend(name), scenes=SMALL[:1], dtypes=["float32"]).unsupported
    assert (NO_WAITING in unsupported) == (name == "neighbors")


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
    failures = quick("toy", scenes=("scattered",)).failures
    assert operation in {failure.operation for failure in failures}
    assert {failure.outcome for failure in failures} == {"broken"}


def test_a_backend_that_cannot_even_subdivide_is_examined_before_it(plant: Callable[[str], None]) -> None:
    plant(TOY.replace("cells = children_of", "raise Unsupported('Dense only.'); cells = children_of"))
    certificate = quick("toy", scenes=("scattered",))
    assert {failure.operation for failure in certificate.failures} == {"subdivide"}
    assert {check.stage for check in certificate.checks if check.outcome == "equal"} == {0}


def test_what_a_backend_offers_it_must_offer_everywhere(plant: Callable[[str], None]) -> None:
    line = "down, right = offsets.unbind(1)"
    refusal = "if len(self.cells) < len(self.rows): raise Unsupported('Only where all cells are active.')"
    plant(TOY.replace(line, f"{refusal}\n        {line}"))
    certificate = quick("toy", scenes=("scattered",))
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
    certificate = certify(backend("toy"), scenes=SMALL[:1], dtypes=[dtype])
    assert {check.outcome for check in certificate.checks if check.operation == "sample"} == {outcome}
    assert bool(certificate.failures) == (outcome == "broken")


def test_a_certificate_in_which_nothing_is_equal_is_a_failure() -> None:
    (failure,) = certify(backend("sps"), scenes=SMALL[:1], dtypes=[]).failures
    assert failure.reason.startswith("Nothing was equal to masked dense")


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
    assert {failure.operation for failure in quick("toy", scenes=("scattered",)).failures} == {"storage"}


def test_memory_behind_a_view_or_in_a_list_is_held_too(plant: Callable[[str], None]) -> None:
    line = "self.rows, self.cells, self.size = rows, cells, size"
    plant(TOY.replace(line, f"{line}\n        self.more = {{'kept': [torch.zeros(8)[:2]]}}"))
    failures = [failure for failure in quick("toy", scenes=("scattered",)).failures if failure.operation == "storage"]
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
    assert {failure.operation for failure in quick("toy", scenes=("scattered",)).failures} == {"gather", "gather_far"}


def test_precision_of_convolutions_is_restored() -> None:
    before = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    certify(backend("pointwise"), scenes=SMALL[-1:], dtypes=["float32"])
    assert (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision) == before


def test_shapes_are_as_they_are_declared() -> None:
    jaxtyping.config.update("jaxtyping_disable", False)
    assert certify(backend("sps"), scenes=SMALL[:1], dtypes=["float32"]).failures == []


def judged(actual: Tensor, expected: Tensor) -> Check:
    def judge(**of_check: object) -> Check:
        fixed = {
            "operation": "o",
            "activity": "a",
            "stage": 1,
            "dtype": "float32",
            "quantity": "forward",
            "limit": 1e-5,
        }
        return Check(**fixed | of_check)  # type: ignore[arg-type]

    return _compared(judge, [actual], [expected], torch.float32)


def test_what_counts_as_equal() -> None:
    expected = torch.tensor([2.0, -4.0], dtype=torch.float64)
    check = judged(torch.tensor([2.0, -4.00002]), expected)
    assert check.outcome == "equal"
    assert check.relative == pytest.approx(check.absolute / 4)  # type: ignore[operator]
    assert judged(torch.tensor([2.0, -4.0001]), expected).outcome == "unequal"
    assert judged(torch.tensor([2.0, math.nan]), expected).outcome == "broken"
    assert judged(torch.tensor([2.0]), expected).outcome == "broken"
    assert judged(torch.tensor([2.0, -4.0]).double(), expected).outcome == "broken"
    assert judged(torch.zeros(0), torch.zeros(0, dtype=torch.float64)).outcome == "equal"
    # Where the truth is zero throughout there is nothing to be relative to.
    assert judged(torch.tensor([1e-4]), torch.zeros(1, dtype=torch.float64)).relative == pytest.approx(1e-4)
    assert judged(torch.tensor([7, 8]), torch.tensor([7, 8])).outcome == "equal"
    assert judged(torch.tensor([1_000_000, 8]), torch.tensor([1_000_001, 8])).outcome == "unequal"


def test_the_probe_keeps_worst_errors_counts_and_reasons(
    plant: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.certificate.make_scenes", lambda: SMALL[:1])
    line, wrong, _ = BUGS["wrong neighbour"]
    plant(TOY.replace(line, wrong))
    measurement = probe.measure(Subject(backend="toy", weights="none"), Context())
    values = measurement.values
    assert measurement.units.keys() == values.keys()
    assert all(math.isfinite(value) for value in values.values())
    assert values["failed"] > 0
    assert values["unsupported"] == 2
    assert values["conv3_d1_forward_float32"] > 0.1
    assert values["conv3_d1_forward_float32_absolute"] > 0.1
    # All three stages are wrong, in four dtypes forward.
    assert values["conv3_d1_forward_float32_failed"] == 3
    assert "linear_forward_float32_failed" not in values
    assert values["linear_gradient_float64"] < 1e-11
    assert "sample_forward_float32" not in values
    failures = json.loads(measurement.files["failures.json"])
    assert len(failures) == values["failed"]
    assert {"operation", "activity", "stage", "dtype", "quantity", "relative", "limit"} <= failures[0].keys()
    assert json.loads(measurement.files["unsupported.json"])["sample"] == "Unsupported: The toy does not sample."
    checks = json.loads(gzip.decompress(measurement.files["checks.json.gz"]))
    assert len(checks) == values["checks"]


def test_the_same_backend_has_the_same_certificate_and_a_changed_one_needs_another(
    plant: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.certificate.make_scenes", lambda: SMALL[:1])
    plant(TOY)
    subject, context = Subject(backend="toy", weights="none"), Context()
    first, second = (probe.measure(subject, context) for _ in range(2))
    assert first == second
    assert "failures.json" not in first.files
    before = probe.protocol(subject, context)
    assert probe.protocol(subject, context) == before
    plant(TOY + "\n")
    assert probe.protocol(subject, context) != before


def test_a_certificate_is_one_of_a_backend() -> None:
    with pytest.raises(ValueError, match="has no backend"):
        probe.measure(Subject(head="mask_rcnn"), Context())
    with pytest.raises(ValueError, match="There is no backend named 'sps:warp'"):
        probe.measure(Subject(backend="sps", kernel="warp", weights="none"), Context())


def test_unsupported_is_what_it_says() -> None:
    with pytest.raises(Unsupported):
        backend("pointwise").dense(torch.zeros(1, 2, 3, 3)).gather(torch.tensor([[0, 1]]))
