"""The benchmark of the kernels: rivals compute the same, its arithmetic is exact, what cannot run says why."""

import numpy as np
import pytest
import torch

from bench.backends import roof
from bench.backends.peers import COMPILED, SPCONV
from bench.backends.rival_times import ClockKind, Times, time_rivals
from bench.backends.rivals import NAIVE, NAIVE_FLOAT32, OURS, Rivals, Workload, forward, make_workload, training
from bench.backends.roof import PEAKS, Work, arithmetic_of, limit_ms, peaks_of
from bench.backends.stages import draw_activity
from bench.contract import Context, Dtype, Probe
from bench.names import STAGES
from bench.probes import kernels
from bench.record import Subject, rows
from bench.store import Array
from sparsity import backend
from tests.bench.found import numbers_at, rows_at

SMALL = Context(regions=4, budget=40)
BLOCKED = Subject(backend="sps", kernel="blocked", weights="none")


def workload(budget: int = 40, context: Context = SMALL, *, stages: int = 2) -> Workload:
    return make_workload(backend("sps:blocked"), draw_activity(2, budget, context, stages=stages), context)


@pytest.mark.parametrize("rival", [NAIVE, "nchw", "channels_last"])
def test_forward_rivals_compute_the_same(rival: str) -> None:
    with torch.inference_mode():
        rivals = forward(workload())
        assert next(iter(rivals)) == OURS, "what it raises must come before any work of the others"
        torch.testing.assert_close(rivals[rival](), rivals[OURS](), atol=1e-5, rtol=1e-4)


def test_half_precision_meets_the_naive_method_in_float32_too() -> None:
    rivals = forward(workload(context=Context(regions=2, dtype="bfloat16")))
    exact, rounded = rivals[NAIVE_FLOAT32](), rivals[NAIVE]()
    assert isinstance(exact, torch.Tensor)
    assert isinstance(rounded, torch.Tensor)
    assert (exact.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(rounded.float(), exact, atol=0.1, rtol=0.05)
    assert NAIVE_FLOAT32 not in forward(workload())


def test_training_rivals_have_the_same_gradients() -> None:
    """Of the features where both store rows; of weights and biases also on Dense, where all cells are active."""
    context = Context(dtype="float64")
    some, every = (training(workload(budget, context, stages=1)) for budget in (40, 2 * 14 * 14))
    with torch.inference_mode():  # as whoever times them does
        (ours, *of_weights), (theirs, *expected) = some[OURS](), some[NAIVE]()
    torch.testing.assert_close(of_weights, expected)
    # The naive method computes one for the zero row, too.
    torch.testing.assert_close(ours[1:], theirs[1:])
    for rival in (NAIVE, "nchw", "channels_last"):
        (_, *of_weights), (_, *expected) = every[OURS](), every[rival]()
        torch.testing.assert_close(of_weights, expected)


def of_rounds(times: Times) -> dict[str, list[float]]:
    return {repeated.name: repeated.array.tolist() for repeated in times.quantities()}


def test_arithmetic_of_made_up_times() -> None:
    """Round by round, against the layout with the lower median, although the other had the fastest round."""
    ms = {
        OURS: np.array([2.0, 4.0, 4.0]),
        NAIVE: np.array([6.0, 8.0, 2.0]),
        "channels_last": np.array([10.0, 10.0, 8.0]),
        "nchw": np.array([1.0, 20.0, 20.0]),
    }
    times = Times(ms=ms, active_fraction=0.25)
    assert times.dense_layout == "channels_last"
    found = of_rounds(times)
    assert found == {
        "ms": [2.0, 4.0, 4.0],
        "naive_ms": [6.0, 8.0, 2.0],
        "dense_ms": [10.0, 10.0, 8.0],
        "speedup": [3.0, 2.0, 0.5],
        "ratio": [0.2, 0.4, 0.5],
        "eta": [1.25, 0.625, 0.5],
    }
    half = Times(ms=ms | {NAIVE_FLOAT32: np.array([12.0, 12.0, 6.0])}, active_fraction=0.25)
    assert of_rounds(half)["speedup_float32"] == [6.0, 3.0, 1.5]
    beside = Times(
        ms=ms | {COMPILED: np.array([4.0, 4.0, 2.0]), SPCONV: np.array([1.0, 8.0, 8.0])}, active_fraction=0.25
    )
    assert of_rounds(beside)["compiled_ratio"] == [0.5, 1.0, 2.0]
    assert of_rounds(beside)["compiled_dense_ms"] == [4.0, 4.0, 2.0]
    assert of_rounds(beside)["spconv_ratio"] == [2.0, 0.5, 0.5]
    assert of_rounds(beside)["eta"] == found["eta"]


def test_one_thread_is_one_thread_and_the_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    set_to: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: set_to[-1] if set_to else 7)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    rivals = {"only": lambda: threads.append(torch.get_num_threads())}
    times = time_rivals(rivals, "thread", "cpu", repetitions=4, limit_s=60.0)
    assert threads == [1] * 5
    assert times["only"].shape == (4,)
    assert set_to == [1, 7]
    time_rivals(rivals, "wall", "cpu", repetitions=4, limit_s=60.0)
    assert threads[5:] == [7] * 5


@pytest.mark.parametrize(
    ("stage", "arithmetic", "microseconds"),
    [(1, "float32", 528), (1, "tf32", 101), (1, "bfloat16", 51), (3, "float32", 33), (3, "tf32", 26)],
)
def test_limit_of_an_h100(stage: int, arithmetic: str, microseconds: int) -> None:
    """The limits computed by hand for EffSeg's point; at stage 3 in float32 products, in TF32 gathers."""
    passive, features, cells = {1: (9_600, 128, 78_400), 3: (69_600, 32, 1_254_400)}[stage]
    number_bytes = 2 if arithmetic == "bfloat16" else 4
    work = Work(active=40_000, passive=passive, cells=cells, features=features, number_bytes=number_bytes)
    assert round(1000 * limit_ms(work, PEAKS["H100"], arithmetic)) == microseconds


def test_no_limit_without_a_known_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peaks_of("cpu") is None
    assert arithmetic_of("bfloat16") == "bfloat16"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peaks_of("cuda") is PEAKS["H100"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another")
    assert peaks_of("cuda") is None


@pytest.mark.parametrize(
    ("dtype", "convolution_ms", "macs_per_s"),
    [("float32", 1e9, 8**3 / 0.002), ("bfloat16", 4.0, 9 * 256**2 * 62**2 / 0.004)],
)
def test_the_roof_is_that_of_the_fastest_pass(
    dtype: Dtype, convolution_ms: float, macs_per_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def times(rivals: Rivals, clock: ClockKind, device: str, *, repetitions: int, limit_s: float) -> dict[str, Array]:
        called.append(clock)
        product, copy = rivals["product"](), rivals["copy"]()
        assert isinstance(product, torch.Tensor)
        assert isinstance(copy, torch.Tensor)
        assert (product.shape, product.dtype) == ((8, 8), getattr(torch, dtype))
        assert copy.nbytes == 4096
        assert copy.unique().tolist() == [1]
        convolved = rivals["convolution"]()
        assert isinstance(convolved, torch.Tensor)
        assert convolved.shape == (1, 256, 62, 62)
        return {
            "product": np.array([4.0, 2.0, 8.0]),
            "copy": np.array([0.5, 1.0]),
            "convolution": np.array([convolution_ms]),
        }

    monkeypatch.setattr(roof, "time_rivals", times)
    monkeypatch.setattr(roof, "PRODUCT_SIDE", {"cpu": 8})
    monkeypatch.setattr(roof, "COPY_BYTES", 4096)
    macs, moved = roof.roof("thread", Context(dtype=dtype))
    assert called == ["thread"]
    assert (macs.name, macs.unit, macs.at) == ("roof_macs_per_s", "MACs/s", {"clock": "thread"})
    assert (moved.name, moved.unit, moved.at) == ("roof_bytes_per_s", "bytes/s", {"clock": "thread"})
    assert (macs.value, moved.value) == pytest.approx((macs_per_s, 2 * 4096 / 0.0005))


def test_a_product_reaches_more_than_one_multiply_add_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every machine that this runs on; otherwise the measurement is wrong."""
    monkeypatch.setattr(roof, "PRODUCT_SIDE", {"cpu": 512})
    monkeypatch.setattr(roof, "COPY_BYTES", 2**24)
    monkeypatch.setattr(roof, "REPETITIONS", 3)
    macs, moved = roof.roof("thread", Context())
    assert macs.value > moved.value > 1e8


def test_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "PERCENTS", (30,))
    monkeypatch.setattr(kernels, "REPETITIONS", 1)
    monkeypatch.setattr(kernels, "roof", lambda clock, context: rows({"roof_macs_per_s": 8e6}, "MACs/s", clock=clock))
    monkeypatch.setattr(kernels, "peers", lambda workload: {COMPILED: lambda: None})
    assert isinstance(kernels, Probe)
    found = kernels.measure(BLOCKED, Context(regions=1, budget=10))
    labels = [value.label.replace("place30", "active30") for value in found.values if value.interval is not None]
    assert sorted(labels) == sorted(found.samples)
    assert not any("limit" in value.name for value in found.values)
    for clock in ("thread", "wall"):
        assert numbers_at(found, clock=clock) == {"roof_macs_per_s": 8e6}
    for stage, side in ((1, 28), (2, 56), (3, 112)):
        point = numbers_at(found, stage=stage, place="point")
        assert point["active_fraction"] == 40 / side**2
        features, number = 256 // 2**stage, 4
        assert point["macs"] == 27 * 40 * features**2
        fewest = (2 * 40 * features + 27 * features**2) * number + (side**2 + 40) * 4
        passive = point["needed_bytes"] - fewest
        assert passive % (features * number) == 0
        assert 0 < passive // (features * number) < side**2
        assert numbers_at(found, stage=stage, place=30) == {"active_fraction": pytest.approx(0.3, abs=0.005)}
        assert point["output_bytes"] == 40 * 256 // 2**stage * 4
        assert point["peak_bytes"] >= point["output_bytes"]
        for clock in ("thread", "wall"):
            both = [
                rows_at(found, stage=stage, place="point", passes=passes, clock=clock)
                for passes in ("forward", "training")
            ]
            for timed in both:
                value, interval = timed["speedup"].value, timed["speedup"].interval
                assert interval is not None
                assert 0 < interval[0] <= value <= interval[1]
            assert both[0]["compiled_ratio"].value > 1
            assert "compiled_ratio" not in both[1]
            assert found.samples[f"stage{stage}_point_training_{clock}_eta"].shape == (1,)
        timed = rows_at(found, stage=stage, place=30, passes="forward", clock="thread")
        assert "eta" in timed
        assert "compiled_ratio" not in timed
        assert not rows_at(found, stage=stage, place=30, passes="forward", clock="wall")
    assert rows_at(found, stage=1, place="point", passes="training", clock="wall")["dense_ms"].unit == "ms"
    assert rows_at(found, stage=1, place="point")["peak_bytes"].unit == "bytes"


def test_the_limit_of_a_known_gpu_is_beside_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "PERCENTS", ())
    monkeypatch.setattr(kernels, "REPETITIONS", 1)
    monkeypatch.setattr(kernels, "roof", lambda clock, context: ())
    monkeypatch.setattr(kernels, "peers", lambda workload: {})
    monkeypatch.setattr(kernels, "peaks_of", lambda device: PEAKS["H100"])
    found = kernels.measure(BLOCKED, Context(regions=1, budget=10))
    for stage in STAGES:
        point = rows_at(found, stage=stage, place="point")
        wall = numbers_at(found, stage=stage, place="point", passes="forward", clock="wall")
        assert point["limit_ms"].unit == "ms"
        assert point["of_limit"].value == point["limit_ms"].value / wall["ms"]


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject(backend="sps", kernel="triton", weights="none"), "runs on GPUs"),
        (Subject(backend="dense", weights="none"), "name its kernels"),
        (Subject(head="effseg", weights="none"), "no backend"),
    ],
)
def test_what_cannot_be_measured_says_why(subject: Subject, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kernels.measure(subject, SMALL)


def test_protocol_says_the_sizes() -> None:
    assert kernels.protocol(BLOCKED, Context())["percents_regions"] == "32/12/6"
    assert kernels.protocol(BLOCKED, SMALL)["percents_regions"] == "4/4/4"
    assert kernels.protocol(BLOCKED, SMALL)["budget"] == 40
    assert kernels.protocol(BLOCKED, SMALL)["limit"] is None
    limits = "fastest product of 2048^2 matrices or 3 x 3 convolution of 256 features, copy of 256 MiB"
    assert kernels.protocol(BLOCKED, SMALL)["roof"] == limits
    assert "convolution" not in str(kernels.protocol(BLOCKED, Context(device="cuda"))["roof"])
    assert "5.5 TB/s" in str(kernels.protocol(BLOCKED, Context(device="cuda"))["limit"])
