"""The table of certificates: errors, what cannot be done, and what fails."""

import msgspec

from bench.names import CERTIFIED
from bench.record import Record, Scalar, Subject
from reports.renderers.markdown import markdown
from reports.select.measured import measured
from reports.tables.certificates import certificates
from tests.reports.invented import invented

CONV = {"conv3_d1_forward_float32": 2.6e-7, "conv3_d1_gradient_float32": 5e-7, "conv3_d1_forward_float64": 0.0}
COUNTS = {"checks": 10.0, "failed": 0.0, "unsupported": 0.0}


def record(
    backend: str,
    values: dict[str, float],
    *,
    device: str = "cpu",
    sparsity: str = "sha256:1",
    second: int = 0,
    **subject: str,
) -> Record:
    protocol: dict[str, Scalar] = {
        "probe": "certificate",
        "version": 1,
        "device": device,
        "activities": "objects empty",
        "forward_limits": "float32 1e-05",
        "gradient_limits": "float32 2e-05",
        "sparsity": sparsity,
    }
    return invented(Subject(backend=backend, weights="none", **subject), protocol, COUNTS | values, second=second)


def shown(*records: Record) -> dict[tuple[str, str], dict[str, str]]:
    """Texts by row (operation, precision) and column."""
    table = certificates(measured(records))
    names = [column.name for column in table.columns]
    return {(row[0], row[1]): dict(zip(names[2:], row[2:], strict=True)) for row in table.texts()}


def test_forward_then_gradient() -> None:
    rows = shown(record("sps", CONV))
    assert rows[("conv 3x3", "float32")] == {"SPS": "3e-7 5e-7"}
    assert rows[("conv 3x3", "float64")] == {"SPS": "0"}


def test_what_was_not_examined_cannot_be_done() -> None:
    rows = shown(record("sps", CONV), record("pointwise", {}))
    assert rows[("conv 3x3", "float32")] == {"Pointwise": "cannot", "SPS": "3e-7 5e-7"}
    # Also where no backend can.
    assert rows[("deformable conv 3x3", "float32")] == {"Pointwise": "cannot", "SPS": "cannot"}


def test_all_known_operations_have_rows_in_two_precisions() -> None:
    rows = shown(record("sps", CONV))
    assert {operation for operation, _ in rows} == set(CERTIFIED.values())
    assert len(rows) == 2 * len(CERTIFIED) - 1
    assert ("no waiting for device", "float64") not in rows


def test_waiting_is_yes_or_no() -> None:
    rows = shown(record("sps", {"no_host_sync_forward_float32": 0.0}), record("neighbors", {}))
    assert rows[("no waiting for device", "float32")] == {"Neighbors": "no", "SPS": "yes"}


def test_a_failure_is_seen_in_its_place() -> None:
    failed = {"conv3_d1_gradient_float32_failed": 2.0, "failed": 3.0, "sfm_forward_bfloat16_failed": 1.0}
    rows = shown(record("sps", CONV | failed), record("dense", CONV))
    assert rows[("conv 3x3", "float32")] == {"Dense": "3e-7 5e-7", "SPS": "3e-7 FAIL"}
    assert rows[("conv 3x3", "float64")]["SPS"] == "0"
    # A precision without rows gets one where something fails in it; what has no number still fails.
    assert rows[("SFM (1, 3, 5)", "bfloat16")]["SPS"] == "FAIL"
    assert "SPS 10 (3 failed)" in markdown(certificates(measured([record("sps", CONV | failed)])))


def test_absolute_errors_and_half_precision_are_no_cells() -> None:
    extra = {"conv3_d1_forward_float32_absolute": 9.0, "conv3_d1_forward_float16": 4e-4}
    rows = shown(record("sps", CONV | extra))
    assert rows[("conv 3x3", "float32")] == {"SPS": "3e-7 5e-7"}
    assert ("conv 3x3", "float16") not in rows
    assert "float16: at most 4e-4 forward" in markdown(certificates(measured([record("sps", CONV | extra)])))


def test_the_newest_certificate_counts_as_a_whole() -> None:
    rows = shown(record("sps", CONV), record("sps", {"linear_forward_float32": 1e-7}, second=1))
    assert rows[("conv 3x3", "float32")] == {"SPS": "cannot"}
    assert rows[("linear layer", "float32")] == {"SPS": "1e-7"}


def test_kernels_and_devices_have_columns_of_their_own() -> None:
    rows = shown(record("sps", CONV), record("sps", CONV, kernel="native"))
    assert list(rows[("conv 3x3", "float32")]) == ["SPS", "SPS native"]
    rows = shown(record("sps", CONV), record("sps", {}, device="cuda", second=1))
    assert rows[("conv 3x3", "float32")] == {"SPS cpu": "3e-7 5e-7", "SPS cuda": "cannot"}


def test_certificates_of_other_sources_are_left_out_and_said() -> None:
    table = certificates(measured([record("sps", CONV, sparsity="sha256:0"), record("dense", CONV, second=1)]))
    assert [column.name for column in table.columns[2:]] == ["Dense"]
    assert table.caption[-1] == "Left out of certificate, because measured otherwise than the newest: SPS (sparsity)."


def test_backends_are_called_as_in_the_paper_and_own_ones_by_their_file() -> None:
    rows = shown(record("sparse_on_dense", CONV), record("tap_by_tap", CONV))
    assert list(rows[("conv 3x3", "float32")]) == ["SparseOnDense", "tap by tap"]


def test_an_unknown_operation_has_a_row_by_its_name() -> None:
    rows = shown(record("sps", {"winograd_forward_float32": 1e-6}))
    assert rows[("winograd", "float32")] == {"SPS": "1e-6"}


def test_records_of_other_probes_are_left_out_and_none_is_said() -> None:
    other = msgspec.structs.replace(record("sps", CONV), protocol={"probe": "memory", "version": 1})
    table = certificates(measured([other]))
    assert table.rows == ()
    assert not table.has_numbers
    assert "No certificate was made" in table.caption[0]
