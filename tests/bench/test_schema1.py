"""Records of schema 1: every glued name comes apart, no two into the same row."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from bench.names import AXES
from bench.record import decode
from bench.schema1 import split

RECORDS = sorted((Path(__file__).parents[1] / "golden" / "schema1").glob("*.json"))
"""A record of every probe, as it was written with schema 1."""

EXAMPLES: Mapping[tuple[str, str], tuple[str, dict[str, str | int]]] = {
    ("backend_cost", "supports_5x5"): ("supports", {"ability": "5x5"}),
    ("backend_cost", "stage2_sfm_macs_active"): ("macs", {"stage": 2, "operation": "sfm", "cells": "active"}),
    ("backend_cost", "stage2_halve_macs"): ("macs", {"stage": 2, "operation": "halve"}),
    ("backend_cost", "stage1_bytes_index"): ("bytes", {"stage": 1, "part": "index"}),
    ("backend_cost", "stage1_bytes_nine_rows"): ("bytes_nine_rows", {"stage": 1}),
    ("backend_cost", "stage1_bytes"): ("bytes", {"stage": 1}),
    ("backend_cost", "stage3_cells_active"): ("cells_active", {"stage": 3}),
    ("backend_speed", "stage1_conv_dense_ms"): ("dense_ms", {"stage": 1, "operation": "conv"}),
    ("memory", "stage1_deform_peak_bytes"): ("peak_bytes", {"stage": 1, "operation": "deform"}),
    ("memory", "bytes_peak"): ("bytes_peak", {}),
    ("kernels", "stage1_point_training_wall_compiled_dense_ms"): (
        "compiled_dense_ms",
        {"stage": 1, "place": "point", "passes": "training", "clock": "wall"},
    ),
    ("kernels", "stage3_active65_forward_thread_eta"): (
        "eta",
        {"stage": 3, "place": 65, "passes": "forward", "clock": "thread"},
    ),
    ("kernels", "stage3_active65_active_fraction"): ("active_fraction", {"stage": 3, "place": 65}),
    ("kernels", "roof_thread_macs_per_s"): ("roof_macs_per_s", {"clock": "thread"}),
    ("break_even", "operation_is_sfm"): ("operation_is", {"operation": "sfm"}),
    ("break_even", "stage2_conv_fraction5_ms"): ("ms", {"stage": 2, "sweep": "conv_fraction", "place": 5}),
    ("break_even", "stage1_regions100_dense_is_channels_last"): (
        "dense_is_channels_last",
        {"stage": 1, "sweep": "regions", "place": 100},
    ),
    ("break_even", "stage1_fraction_time_crossing"): (
        "crossing",
        {"stage": 1, "sweep": "fraction", "cost": "time"},
    ),
    ("budget", "apb_star75_half_minus_full"): ("apb_star75_difference", {"budget": "half", "reference": "full"}),
    ("budget", "latency_ms_quarter"): ("latency_ms", {"budget": "quarter"}),
    ("policies", "ap50_random"): ("ap50", {"policy": "random"}),
    ("policies", "images"): ("images", {}),
    ("certificate", "conv3_d1_gradient_bfloat16_absolute"): (
        "error_absolute",
        {"operation": "conv3_d1", "passes": "gradient", "dtype": "bfloat16"},
    ),
    ("certificate", "sfm_forward_float32_failed"): (
        "failed",
        {"operation": "sfm", "passes": "forward", "dtype": "float32"},
    ),
    ("certificate", "failed"): ("failed", {}),
    ("flops", "check_fvcore_conv_matmul"): ("check_macs_conv_matmul", {"ruler": "fvcore"}),
    ("flops", "check_torch_head"): ("check_macs", {"ruler": "torch", "part": "head"}),
    ("flops", "macs_head"): ("macs_head", {}),
    ("speed", "latency_ms_neck_median"): ("latency_ms_median", {"phase": "neck"}),
    ("speed", "latency_ms_median"): ("latency_ms_median", {}),
    ("time_budget", "stage0_roi_align_ms"): ("clocked_ms", {"stage": 0, "part": "roi_align"}),
    ("time_budget", "roi_align_ms"): ("clocked_ms", {"part": "roi_align"}),
    ("time_budget", "clocked_ms"): ("clocked_ms", {}),
    ("time_budget", "latency_ms_head"): ("latency_ms_head", {}),
    ("trace", "stage1_region_fraction_p10"): ("region_fraction_p10", {"stage": 1}),
    ("overfit", "loss_mask_0_last"): ("loss_last", {"loss": "mask_0"}),
    ("of_ones_own", "stage1_sfm_ms"): ("stage1_sfm_ms", {}),
}


@pytest.mark.parametrize(("probe", "glued"), EXAMPLES, ids="-".join)
def test_a_name_comes_apart(probe: str, glued: str) -> None:
    name, at = split(probe, glued)
    expected, places = EXAMPLES[probe, glued]
    assert (name, list(at.items())) == (expected, list(places.items()))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_comes_apart_and_keeps_its_numbers(path: Path) -> None:
    old = msgspec.json.decode(path.read_bytes())
    assert old["schema"] == 1
    record = decode(path.read_bytes())
    assert len({(value.name, *sorted(value.at.items())) for value in record.values}) == len(old["values"])
    for (glued, number), value in zip(old["values"].items(), record.values, strict=True):
        assert (value.name, value.at) == split(record.probe, glued)
        assert value.at.keys() <= AXES.keys()
        assert (value.value, value.unit) == (number, old["units"][glued])
        assert value.interval == (tuple(old["intervals"][glued]) if glued in old["intervals"] else None)
