"""The roofline: rates and intensities of made-up records, which limits count, what cannot be drawn."""

from collections.abc import Collection

from bench.record import Subject
from bench.store import Store
from reports.figures.roofline import _panels, roofline
from reports.select.backends import of_kernels
from reports.select.measured import measured
from tests.reports.figures.drawn import texts
from tests.reports.stores import add


def kernel_record(
    store: Store,
    kernel: str,
    *,
    ms: float = 10.0,
    peak: float = 100e9,
    clocks: Collection[str] = ("thread", "wall"),
    dtype: str = "float32",
    device: str = "cpu",
    stages: Collection[int] = (1, 2, 3),
    budget: int = 10_000,
    second: int = 0,
) -> None:
    """Stage s has s * 10^9 multiply-adds on 2 * 10^7 bytes, and the machine copies 10 GB/s."""
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for stage in stages:
        values |= {f"stage{stage}_point_macs": stage * 1e9, f"stage{stage}_point_needed_bytes": 2e7}
        for clock in clocks:
            name = f"stage{stage}_point_forward_{clock}_ms"
            values[name], intervals[name] = ms, (ms / 2, 2 * ms)
    for clock in clocks:
        values |= {f"roof_{clock}_macs_per_s": peak, f"roof_{clock}_bytes_per_s": 10e9}
    of = Subject(backend="sps", kernel=kernel, weights="none")
    protocol = {"dtype": dtype, "device": device, "roof": "a product and a copy", "budget": budget}
    add(store, of, "kernels", values, intervals=intervals, protocol=protocol, second=second)


def test_rates_intensities_and_the_best_limits(store: Store) -> None:
    kernel_record(store, "native", ms=20.0)
    kernel_record(store, "blocked", ms=40.0, peak=150e9, second=1)
    (found,) = of_kernels(measured(store))
    thread, wall = _panels(found.shown)
    assert (thread.title, wall.title) == ("float32, one thread", "float32, all threads")
    assert (thread.peak, thread.bandwidth, thread.ridge) == (300, 10, 30)
    assert (thread.roof(3), thread.roof(30), thread.roof(1000)) == (30, 300, 300)
    assert [kernel for kernel, _ in thread.kernels] == ["blocked", "native"]
    _, points = thread.kernels[1]
    assert [(point.stage, point.intensity, point.rate) for point in points] == [
        (3, 300, 300),
        (2, 200, 200),
        (1, 100, 100),
    ]
    assert (points[0].low, points[0].high) == (150, 600)


def test_a_panel_for_every_precision_and_clock(store: Store) -> None:
    assert roofline([]) is None
    kernel_record(store, "native", dtype="bfloat16")
    kernel_record(store, "native", dtype="float32")
    kernel_record(store, "triton", dtype="float32", device="cuda", clocks=["wall"])
    figure = roofline(measured(store))
    shown = texts(figure)
    titles = ["float32, one thread", "float32, all threads", "bfloat16, one thread", "bfloat16, all threads"]
    assert [text for text in shown if text in titles] == titles
    assert "float32, cuda" in shown
    assert shown.count("native") == 4
    assert {"triton", "200 GFLOP/s", "10 GB/s", "stage 3"} <= set(shown)
    assert figure is not None
    assert "float32, cuda: triton, stage 3: 600 of 200 GFLOP/s" in figure.svg
    assert figure.caption[-1].endswith(": a product and a copy.")


def test_a_panel_has_what_compares_and_the_caption_the_rest(store: Store) -> None:
    kernel_record(store, "native", budget=5)
    kernel_record(store, "blocked", second=1)
    kernel_record(store, "triton", dtype="bfloat16", budget=5, second=2)
    figure = roofline(measured(store))
    assert figure is not None
    assert {"native", "blocked", "triton"} & set(texts(figure)) == {"blocked", "triton"}
    assert figure.caption[-1] == "Left out of kernels, because measured otherwise than the newest: SPS:native (budget)."


def test_records_without_limits_are_no_roofline(store: Store) -> None:
    """As those that were measured before the probe measured the machine's limits."""
    values = {"stage1_point_forward_thread_ms": 3.0, "stage1_point_active_fraction": 0.5}
    of = Subject(backend="sps", kernel="native", weights="none")
    add(store, of, "kernels", values, protocol={"dtype": "float32", "device": "cpu"})
    assert roofline(measured(store)) is None


def test_a_kernel_that_was_measured_in_some_stages_only(store: Store) -> None:
    kernel_record(store, "native")
    kernel_record(store, "odd", stages=(2, 3))
    (found,) = of_kernels(measured(store))
    lengths = {kernel: len(points) for kernel, points in next(_panels(found.shown)).kernels}
    assert lengths == {"native": 3, "odd": 2}
    assert roofline(measured(store)) is not None
