"""Certificates: right backends pass, every planted bug is found, what a backend cannot do is no failure."""

import math

import jaxtyping
import pytest
import torch
from torch import Tensor

import sparsity
from bench.backends.certificate import certify
from bench.backends.operations import OPERATIONS
from bench.backends.trial import OperationCheck, _compared
from bench.contract import Context
from bench.names import CERTIFIED, NO_WAITING
from bench.probes import certificate as probe
from bench.record import Subject
from sparsity import Unsupported, backend, names
from tests.bench.backends.toy_backend import OBJECTS, SMALL

pytestmark = pytest.mark.usefixtures("unchecked")


BACKENDS = [*names("sparsity"), *(f"sps:{kernel}" for kernel in ("reference", "blocked"))]


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_of_the_folder_gets_its_certificate(name: str) -> None:
    certificate = certify(backend(name), histories=SMALL, dtypes=["float32", "bfloat16"])
    assert certificate.failures == []
    examined = {check.operation for check in certificate.checks}
    assert examined == {operation.name for operation in OPERATIONS} | {NO_WAITING, "storage"} == CERTIFIED.keys()
    assert {check.activity for check in certificate.checks} == {history.name for history in SMALL}


@pytest.mark.parametrize("name", names("sparsity"))
def test_every_backend_is_right_at_the_feature_sizes_of_effseg(name: str) -> None:
    certificate = certify(backend(name), histories=[OBJECTS], dtypes=["float16"])
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
    kept = {history.name: [len(keep) for keep in history.keeps] for history in SMALL}
    assert kept["empty"] == [0, 0]
    assert kept["full"] == [2 * 4 * 5, 2 * 8 * 10]
    assert kept["no_regions"] == [0, 0]
    assert kept["borders"][0] == 3 * 14
    passive = next(history for history in SMALL if history.name == "passive_region")
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
    for history in (OBJECTS, *SMALL):
        numbers = [rounded(normal(*shape)) for shape in history.shapes()]
        others = history.replay(backend("sparse_on_dense"), numbers)
        for sps, on_dense in zip(history.replay(backend("sps:reference"), numbers), others, strict=True):
            for operation in gathering:
                inputs = {name: rounded(value) for name, value in operation.draw(sps, normal, False).items()}
                assert torch.equal(operation.run(sps, inputs), operation.run(on_dense, inputs)), operation.name


@pytest.mark.parametrize("name", ["dense", "neighbors", "pointwise", "sparse_on_dense", "sps"])
def test_only_neighbors_waits_for_the_device(name: str) -> None:
    """It counts the neighbours that a subdivision leaves, and says so."""
    unsupported = certify(backend(name), histories=SMALL[:1], dtypes=["float32"]).unsupported
    assert (NO_WAITING in unsupported) == (name == "neighbors")


def test_a_kernel_that_cannot_run_here_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no convolution is examined all the same."""
    monkeypatch.setattr("sparsity._kernels.reference.unavailable", lambda device, dtype: "not today")
    certificate = certify(backend("sps:reference"), histories=SMALL[:1], dtypes=["float32"])
    assert certificate.failures == []
    refused = {check.operation for check in certificate.checks if check.outcome == "cannot"}
    assert {"conv3_d1", "sfm", "depthwise", "conv3_after_overwrite"} <= refused
    assert refused.isdisjoint({"linear", "subdivide", "gather", "deform_conv3"})
    assert all("not today" in check.reason for check in certificate.checks if check.outcome == "cannot")


def test_a_certificate_in_which_nothing_is_equal_is_a_failure() -> None:
    (failure,) = certify(backend("sps"), histories=SMALL[:1], dtypes=[]).failures
    assert failure.reason.startswith("Nothing was equal to masked dense")


def test_precision_of_convolutions_is_restored() -> None:
    before = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    certify(backend("pointwise"), histories=SMALL[-1:], dtypes=["float32"])
    assert (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision) == before


def test_shapes_are_as_they_are_declared() -> None:
    jaxtyping.config.update("jaxtyping_disable", False)
    assert certify(backend("sps"), histories=SMALL[:1], dtypes=["float32"]).failures == []


def judged(actual: Tensor, expected: Tensor) -> OperationCheck:
    def judge(**of_check: object) -> OperationCheck:
        fixed = {
            "operation": "o",
            "activity": "a",
            "stage": 1,
            "dtype": "float32",
            "quantity": "forward",
            "limit": 1e-5,
        }
        return OperationCheck(**fixed | of_check)  # type: ignore[arg-type]

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


def test_a_certificate_is_one_of_a_backend() -> None:
    with pytest.raises(ValueError, match="has no backend"):
        probe.measure(Subject(head="mask_rcnn"), Context())
    with pytest.raises(ValueError, match="There is no kernel named 'warp'"):
        probe.measure(Subject(backend="sps", kernel="warp", weights="none"), Context())


def test_unsupported_is_what_it_says() -> None:
    with pytest.raises(Unsupported):
        backend("pointwise").dense(torch.zeros(1, 2, 3, 3)).gather(torch.tensor([[0, 1]]))
