"""Tables of the kernels: a row per stage and kernel, speed-ups with their quartiles, nothing that was not measured."""

import msgspec

from bench.record import Failure, Record, Scalar, Subject
from reports.choice import tables_of
from reports.layout import Table
from reports.select.measured import measured
from reports.tables import kernels
from tests.reports.invented import invented, rows

PROTOCOL: dict[str, Scalar] = {
    "probe": "kernels",
    "version": 1,
    "regions": 100,
    "budget": 10_000,
    "percents_regions": "32/12/6",
}


def record(
    kernel: str,
    *,
    speedup: float = 4.0,
    clocks: tuple[str, ...] = ("thread", "wall"),
    dtype: str = "float32",
    device: str = "cpu",
) -> Record:
    values: dict[str, float] = {}
    for stage in (1, 2, 3):
        values |= {
            f"stage{stage}_point_active_fraction": 0.5,
            f"stage{stage}_point_peak_bytes": 20_300_000,
            f"stage{stage}_point_output_bytes": 19_500_000,
        }
        for clock in clocks:
            for passes in ("forward", "training"):
                numbers = {"ms": 300.0, "naive_ms": 1200.0, "speedup": speedup, "ratio": 0.4567, "eta": 1.1}
                values |= {f"stage{stage}_point_{passes}_{clock}_{name}": value for name, value in numbers.items()}
        values |= {f"stage{stage}_active{percent}_forward_{clocks[0]}_eta": percent / 100 for percent in (5, 65)}
    if dtype == "bfloat16":
        values |= {f"stage{stage}_point_forward_{clocks[0]}_speedup_float32": 8.0 for stage in (1, 2, 3)}
    intervals = {name: (value - 0.5, value + 0.25) for name, value in values.items() if name.endswith("_speedup")}
    of = Subject(backend="sps", kernel=kernel, weights="none")
    return invented(of, PROTOCOL | {"dtype": dtype, "device": device}, values, intervals=intervals)


def failed(dtype: str = "float32") -> Record:
    failure = Failure(type="ValueError", message="It runs on GPUs.", frames=())
    return msgspec.structs.replace(record("triton", dtype=dtype), values=(), error=failure)


def row(table: Table, stage: str, kernel: str) -> list[str]:
    (found,) = [texts for texts in table.texts() if texts[:2] == [stage, kernel]]
    return found


def test_rows_of_stages_and_kernels() -> None:
    tables = kernels.tables(measured([record("native"), record("blocked", speedup=2.0)]))
    assert [table.title for table in tables] == [
        "SPS kernels, forward: float32 on cpu",
        "SPS kernels, forward and backward: float32 on cpu",
        "SPS kernels, sparsity efficiency by active fraction: float32 on cpu",
    ]
    forward, training, efficiency = tables
    assert [texts[:2] for texts in forward.texts()] == [
        [stage, f"SPS:{kernel}"] for stage in "123" for kernel in ("blocked", "native")
    ]
    one_clock = ["ms", "x naive", "/Dense", "eta"]
    clocks = [f"{name}: ms" for name in ("1 thread", "all threads")]
    both = [name for clock in clocks for name in (clock, *one_clock[1:])]
    names = [column.name for column in forward.columns]
    assert names == ["Stage", "Kernel", "Active %", *both, "peak MB", "result MB"]
    assert [column.name for column in training.columns] == ["Stage", "Kernel", *both]
    times = ["300.0", "4.00 (3.50-4.25)", "0.457", "1.10"]
    assert row(forward, "1", "SPS:native") == ["1", "SPS:native", "50.0", *times, *times, "20.3", "19.5"]
    assert (0, 4) not in forward.best()
    assert (1, 4) in forward.best()
    assert [column.name for column in efficiency.columns] == ["Stage", "Kernel", "point", "5 %", "65 %"]
    assert row(efficiency, "3", "SPS:blocked") == ["3", "SPS:blocked", "1.10", "0.05", "0.65"]


def test_peers_have_a_column_where_they_were_measured() -> None:
    plain = record("native", clocks=("thread",))
    compiled = {f"stage{stage}_point_forward_thread_compiled_ratio": 0.5 for stage in (1, 2, 3)}
    beside = msgspec.structs.replace(plain, values=(*plain.values, *rows("kernels", compiled)))
    forward, training, _ = kernels.tables(measured([beside]))
    assert [column.name for column in forward.columns][6:8] == ["eta", "/compiled Dense"]
    assert row(forward, "2", "SPS:native")[7] == "0.500"
    assert any("torch.compile" in sentence for sentence in forward.caption)
    assert "/compiled Dense" not in [column.name for column in training.columns]
    forward, *_ = kernels.tables(measured([plain]))
    assert not any("compile" in sentence or "spconv" in sentence for sentence in forward.caption)


def test_what_was_not_measured_says_so_and_why() -> None:
    elsewhere = failed(dtype="bfloat16")
    native = measured([record("native")])
    forward, *_, last = kernels.tables(native, [failed(), elsewhere])
    assert row(forward, "2", "SPS:triton")[2:4] == ["not measured", ""]
    assert "SPS:triton: not measured. It runs on GPUs." in forward.caption
    assert "On a GPU: not measured." in last.caption
    assert "On a GPU: not measured." not in forward.caption
    assert not any("triton" in texts[1] for table in kernels.tables(native, [elsewhere]) for texts in table.texts())
    assert kernels.tables(measured([])) == []


def test_a_kernel_that_once_failed_and_was_measured_since_has_one_row() -> None:
    forward, *_ = kernels.tables(measured([record("triton")]), [failed()])
    assert row(forward, "1", "SPS:triton")[2] == "50.0"


def test_every_device_and_precision_has_its_tables() -> None:
    on_gpu = record("triton", clocks=("wall",), device="cuda", dtype="bfloat16")
    limits = {f"stage{stage}_point_of_limit": 0.5 for stage in (1, 2, 3)}
    on_gpu = msgspec.structs.replace(on_gpu, values=(*on_gpu.values, *rows("kernels", limits)))
    tables = kernels.tables(measured([record("native"), record("native", dtype="bfloat16"), on_gpu]))
    assert [table.title.partition(": ")[2] for table in tables[::3]] == [
        "bfloat16 on cpu",
        "float32 on cpu",
        "bfloat16 on cuda",
    ]
    half, gpu = tables[0], tables[6]
    assert "x naive float32" in [column.name for column in half.columns]
    assert [column.name for column in gpu.columns][3:] == [
        "ms",
        "x naive",
        "x naive float32",
        "/Dense",
        "eta",
        "of the limit",
        "peak MB",
        "result MB",
    ]
    assert not any("On a GPU: not measured." in table.caption for table in tables)


def test_what_compares_is_chosen_in_every_precision_by_itself() -> None:
    older = record("blocked")
    older.protocol["version"] = 0
    tables = kernels.tables(measured([older, record("native", dtype="bfloat16"), record("native")]))
    said = "Left out of kernels, because measured otherwise than the newest: SPS:blocked (version)."
    assert [said in table.caption for table in tables] == [False] * 3 + [True] * 3
    assert {texts[1] for table in tables for texts in table.texts()} == {"SPS:native"}


def test_the_recipe_shows_them_and_no_values_beside_them() -> None:
    tables = tables_of("kernels", measured([record("native")]), [failed()])
    assert [table.title.partition(":")[0] for table in tables] == [
        "SPS kernels, forward",
        "SPS kernels, forward and backward",
        "SPS kernels, sparsity efficiency by active fraction",
    ]
