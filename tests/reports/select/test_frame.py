"""The tidy frame: a row for every value, its axes as columns, and where what a table may need besides lies."""

from pathlib import Path

import msgspec
import numpy as np

import reports
from bench.names import AXES
from bench.record import Failure, Subject, Value
from reports.select.frame import AFTER_AXES, BEFORE_AXES, frame
from tests.reports.embedded_records import accuracy, keep, record, trained
from tests.reports.invented import invented

OF = Subject(backend="sps", weights="none")
PROTOCOL = {"probe": "backend_cost", "version": 1}


def test_a_row_has_subject_machine_value_and_interval() -> None:
    known = frame([record(trained("effseg"), "accuracy", {"ap": 3.7, "ap50": 9.0}, intervals={"ap": (3.0, 4.5)})])
    assert list(known["name"]) == ["ap", "ap50"]
    first = known.iloc[0]
    assert (first["head"], first["value"], first["low"], first["high"]) == ("effseg", 3.7, 3.0, 4.5)
    assert first["machine"] == "epyc-2c"
    assert known[["low", "high"]].iloc[1].isna().all()


def test_every_axis_has_a_column_in_the_order_of_the_names() -> None:
    made = invented(OF, PROTOCOL, {"supports_conv": 1, "stage1_sfm_macs_active": 5.0, "stage2_bytes_dense": 7})
    own = Value(name="n", value=1, at={"colour": "red"})
    known = frame([msgspec.structs.replace(made, values=(own, *made.values))])
    axes = ["ability", "cells", "operation", "stage", "colour"]
    assert list(known.columns) == [*BEFORE_AXES, *axes, *AFTER_AXES]
    assert [axis for axis in AXES if axis in axes] == axes[:-1]
    (row,) = known[known["name"] == "macs"].to_dict("records")
    assert (row["stage"], row["operation"], row["cells"], row["value"]) == (1, "sfm", "active", 5.0)
    assert known["stage"].dtype == "Int64"
    assert known.loc[known["name"] == "supports", "stage"].isna().all()


def test_the_oldest_comes_first_and_what_failed_has_no_row() -> None:
    old, new = (invented(OF, PROTOCOL, {"n": second}, second=second) for second in (1, 2))
    failed = msgspec.structs.replace(new, values=(), error=Failure(type="E", message="m", frames=()))
    assert list(frame([new, failed, old])["value"]) == [1.0, 2.0]
    assert frame([failed]).empty
    assert list(frame([]).columns) == [*BEFORE_AXES, *AFTER_AXES]


def test_records_of_a_store_know_their_recipe_and_samples(tmp_path: Path) -> None:
    keep(tmp_path, accuracy(trained("effseg"), 44.0), record(trained("effseg"), "params", {"params_head": 1.0}))
    known = reports.load(tmp_path)
    assert set(known["recipe"]) == {"demo"}
    assert all((tmp_path / place).is_file() for place in known["record"])
    (samples,) = set(known.loc[known["probe"] == "accuracy_true_boxes", "samples"])
    with np.load(samples) as arrays:
        assert "resampled_ap_star" in arrays
    assert known.loc[known["probe"] == "params", "samples"].isna().all()
    samples.unlink()
    assert reports.load(tmp_path)["samples"].isna().all(), "a file that is not there is none"


def test_records_alone_are_the_same_but_for_these() -> None:
    known = frame([accuracy(trained("effseg"), 44.0)])
    assert known[["recipe", "samples", "record"]].isna().all(axis=None)
    assert list(known["name"])[:2] == ["ap_star", "apb_star"]
