"""The roofline: rates and intensities of made-up records, which limits count, what cannot be drawn."""

from collections.abc import Collection

from bench.record import Subject
from bench.store import Store
from reports.figures.roofline import _comparisons, _panels, roofline
from tests.reports.figures.drawn import texts
from tests.reports.stores import add


def measured(
    store: Store,
    kernel: str,
    *,
    ms: float = 10.0,
    peak: float = 100e9,
    clocks: Collection[str] = ("thread", "wall"),
    dtype: str = "float32",
    device: str = "cpu",
    second: int = 0,
) -> None:
    """A record whose stage s has s * 10^9 multiply-adds on 2 * 10^7 bytes, on a machine that copies 10 GB/s."""
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for stage in (1, 2, 3):
        values |= {f"stage{stage}_point_macs": stage * 1e9, f"stage{stage}_point_needed_bytes": 2e7}
        for clock in clocks:
            name = f"stage{stage}_point_forward_{clock}_ms"
            values[name], intervals[name] = ms, (ms / 2, 2 * ms)
    for clock in clocks:
        values |= {f"roof_{clock}_macs_per_s": peak, f"roof_{clock}_bytes_per_s": 10e9}
    of = Subject(backend="sps", kernel=kernel, weights="none")
    protocol = {"dtype": dtype, "device": device, "roof": "a product and a copy"}
    add(store, of, "kernels", values, intervals=intervals, protocol=protocol, second=second)


def test_rates_intensities_and_the_best_limits(store: Store) -> None:
    measured(store, "native", ms=20.0)
    measured(store, "blocked", ms=40.0, peak=150e9, second=1)
    (found,) = _comparisons(list(store))
    thread, wall = _panels(found)
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
    measured(store, "native", dtype="bfloat16")
    measured(store, "native", dtype="float32")
    measured(store, "triton", dtype="float32", device="cuda", clocks=["wall"])
    figure = roofline(list(store))
    shown = texts(figure)
    titles = ["float32, one thread", "float32, all threads", "bfloat16, one thread", "bfloat16, all threads"]
    assert [text for text in shown if text in titles] == titles
    assert "float32, cuda" in shown
    assert shown.count("native") == 4
    assert {"triton", "200 GFLOP/s", "10 GB/s", "stage 3"} <= set(shown)
    assert figure is not None
    assert "float32, cuda: triton, stage 3: 600 of 200 GFLOP/s" in figure.svg
    assert figure.caption[-1].endswith(": a product and a copy.")


def test_records_without_limits_are_no_roofline(store: Store) -> None:
    """As those that were measured before the probe measured the machine's limits."""
    values = {"stage1_point_forward_thread_ms": 3.0, "stage1_point_active_fraction": 0.5}
    of = Subject(backend="sps", kernel="native", weights="none")
    add(store, of, "kernels", values, protocol={"dtype": "float32", "device": "cpu"})
    assert roofline(list(store)) is None


def test_a_kernel_that_was_measured_in_some_stages_only(store: Store) -> None:
    measured(store, "native")
    measured(store, "odd", second=1)
    entry = next(each for each in store if each.record.subject.kernel == "odd")
    kept = {name: value for name, value in entry.record.values.items() if not name.startswith("stage1")}
    intervals = {name: pair for name, pair in entry.record.intervals.items() if name in kept}
    add(
        store,
        entry.record.subject,
        "kernels",
        kept,
        intervals=intervals,
        protocol={name: value for name, value in entry.record.protocol.items() if name not in ("probe", "version")},
        second=2,
    )
    (found,) = _comparisons(list(store))
    lengths = {kernel: len(points) for kernel, points in next(_panels(found)).kernels}
    assert lengths == {"native": 3, "odd": 2}
    assert roofline(list(store)) is not None
