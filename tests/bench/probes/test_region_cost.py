"""The cost of a head at given numbers of regions."""

import pytest

from bench.contract import Context
from bench.model.build import build, outline
from bench.planning.plan import load_probes
from bench.probes import region_cost
from bench.record import Subject
from bench.rulers.multiply_adds import count_torch, counting
from bench.rulers.parts import HeadPart
from bench.rulers.random_input import SIZES, random_input

SIZE = (64, 96)


def small(head: str) -> Subject:
    effseg = {"backend": "sps", "module": "sfm"} if head == "effseg" else {}
    return Subject(head=head, backbone="small_fpn", preset="small", **effseg)


def test_rows_of_every_number_of_regions_without_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_cost, "NUMBERS", (1, 2, 4))
    monkeypatch.setattr(region_cost, "LIMIT_S", 0.0)
    monkeypatch.setitem(SIZES, "small", SIZE)
    probe = load_probes(["region_cost"])["region_cost"]
    found = probe.measure(small("refine_mask"), Context())
    macs = [value.value for value in found.values if value.name == "macs_head"]
    assert [value.at for value in found.values if value.name == "macs_head"] == [{"regions": n} for n in (1, 2, 4)]
    assert macs[2] - macs[1] == 2 * (macs[1] - macs[0]) > 0
    assert macs[0] > macs[1] - macs[0], "semantic features are of the image, however few regions there are"
    latencies = {value.at["regions"]: value for value in found.values if value.name == "latency_ms_median"}
    assert latencies.keys() == {1, 2, 4}
    for number, value in latencies.items():
        assert (value.unit, value.at["phase"]) == ("ms", "head")
        assert value.interval is not None
        assert value.interval[0] <= value.value <= value.interval[1]
        assert found.samples[f"latency_ms_head_{number}"].shape == (region_cost.MIN_REPETITIONS,)


def test_one_number_of_regions_may_be_asked_for() -> None:
    protocol = region_cost.protocol(small("mask_rcnn"), Context(regions=7))
    assert protocol["regions"] == "7"
    assert region_cost.protocol(small("mask_rcnn"), Context())["regions"] == "10, 50, 100"
    assert protocol["input_size"] == "320 x 448"


def test_what_regions_show_and_which_weights_do_not_change_the_count() -> None:
    """EffSeg chooses cells by what it sees, and always as many."""
    subject, given = small("effseg"), random_input(3, "small", Context(seed=1), size=SIZE)
    counts = {region_cost._count(outline(subject, Context()).eval(), given).total}
    model, regions = build(subject).eval(), given.regions
    part = HeadPart(model, SIZE, regions.region_counts)
    for scale in (0.0, 1.0):
        pyramid = [scale * given.pyramid[level] for level in sorted(given.pyramid)]
        inputs = (regions.boxes, regions.image, regions.queries, regions.labels, *pyramid)
        with counting():
            counts.add(count_torch(lambda inputs=inputs: part(*inputs))[0].total)
    assert len(counts) == 1
