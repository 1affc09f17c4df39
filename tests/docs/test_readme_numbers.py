"""The README's table of the embedded benchmark says what the records beside it say."""

import re
from pathlib import Path

import pytest

from bench.files import checksum
from bench.model.weights_folder import files_of
from bench.planning.own_data import SHIPPED
from bench.record import Record
from bench.store import Store

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ENTRIES = [entry for entry in Store(ROOT / "docs" / "records") if entry.recipe == "demo"]
NAMES = {
    "Mask R-CNN++": "mask_rcnn",
    "PointRend++": "point_rend",
    "RefineMask++": "refine_mask",
    "EffSeg": "effseg-sps-sfm",
    "BMask R-CNN++": "bmask",
    "Query-dot": "query_dot",
    "Two-way": "two_way",
    "PatchDCT++": "patch_dct",
    "BoundaryFormer++": "boundary_former",
}


def record(name: str, probe: str, seed: int = 0) -> Record:
    cell = f"demo/{NAMES[name]}-small_fpn-small-glyphs-seed{seed}/{probe}"
    (found,) = [entry.record for entry in ENTRIES if entry.cell == cell]
    return found


def of_seeds(name: str, metric: str) -> dict[int, float]:
    """The values of the seeds that a head was trained with."""
    cells = re.compile(rf"demo/{re.escape(NAMES[name])}-small_fpn-small-glyphs-seed(\d)/accuracy_true_boxes")
    found = [(match, entry.record) for entry in ENTRIES if (match := cells.fullmatch(entry.cell))]
    return {int(match[1]): float(each.get(metric).value) for match, each in sorted(found, key=lambda each: each[0][1])}


def spread(name: str, metric: str) -> str:
    found = of_seeds(name, metric).values()
    if len(found) == 1:
        return f"{sum(found):.1f}"
    return f"{sum(found) / len(found):.1f} ({min(found):.1f} to {max(found):.1f})"


def with_interval(name: str, metric: str) -> str:
    found = record(name, "accuracy").get(metric)
    assert found.interval is not None
    low, high = found.interval
    return f"{found.value:.1f} [{low:.1f}, {high:.1f}]"


def signed(difference: float) -> str:
    return f"{round(difference, 1) + 0.0:+.1f}"  # not -0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_table(name: str) -> None:
    costs = [
        f"{record(name, 'params').get('params_head').value / 1e6:.2f}",
        f"{record(name, 'flops').get('macs_head').value / 1e9:.2f}",
        f"{record(name, 'speed').get('fps_paper').value:.1f}",
    ]
    accuracies = [show(name, metric) for show in (spread, with_interval) for metric in ("ap_star", "apb_star")]
    assert f"| {name} | {' | '.join([*accuracies, *costs])} |" in README


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("PointRend++", "Mask R-CNN++"),
        ("RefineMask++", "PointRend++"),
        ("EffSeg", "RefineMask++"),
        ("EffSeg", "PointRend++"),
        ("BMask R-CNN++", "Mask R-CNN++"),
        ("Query-dot", "Mask R-CNN++"),
        ("PatchDCT++", "PointRend++"),
    ],
)
def test_differences_are_those_of_the_records(better: str, worse: str) -> None:
    """The intervals come from resamples, which are not in the repository."""
    one, other = (of_seeds(name, "apb_star") for name in (better, worse))
    by_seed = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    (shown,) = re.findall(rf"^\| {re.escape(better)} - {re.escape(worse)} \|(.*)$", README, re.MULTILINE)
    mean, seeds, detected = shown.split("|")[:3]
    assert mean.strip().startswith(f"{signed(sum(by_seed) / len(by_seed))} [")
    assert seeds.strip() == ", ".join(signed(each) for each in by_seed)
    on_detected = [float(record(name, "accuracy").get("apb_star").value) for name in (better, worse)]
    assert detected.strip().startswith(f"{signed(on_detected[0] - on_detected[1])} [")


def test_the_weights_that_were_measured_are_the_shipped_ones() -> None:
    measured = [entry for entry in ENTRIES if entry.record.probe.startswith("accuracy")]
    assert len(measured) > 20
    for entry in measured:
        found = entry.record
        assert found.error is None
        assert not found.code.dirty, f"{entry.cell} was measured with changes that no commit has"
        assert found.subject.weights == checksum(*files_of(SHIPPED, found.subject)), entry.cell
