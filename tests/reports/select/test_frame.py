"""The tidy frame: names of subjects, and where what a table may need besides lies."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.record import Subject
from reports.select.frame import frame, frame_of_entries, labels, load
from tests.reports.embedded_records import accuracy, keep, record, trained


def frame_of(*subjects: Subject) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(each, name) for name in Subject.__struct_fields__} for each in subjects])


def test_a_subject_is_called_by_what_tells_it_apart() -> None:
    effseg = [Subject(head="effseg", module="sfm", backbone=backbone) for backbone in ("r50_fpn", "r50_defenc")]
    assert labels(frame_of(*effseg)) == ["effseg r50_fpn", "effseg r50_defenc"]
    assert labels(frame_of(effseg[0], Subject(head="mask_rcnn", backbone="r50_fpn"))) == ["effseg", "mask_rcnn"]
    assert labels(frame_of(effseg[0], effseg[0])) == ["effseg", "effseg"]
    files = [Subject(head=name, weights=f"sha256:{name}") for name in ("mine", "theirs")]
    assert labels(frame_of(*files)) == ["mine", "theirs"]
    backends = [Subject(backend="sps", kernel=kernel, weights="none") for kernel in (None, "native")]
    assert labels(frame_of(*backends)) == ["sps", "sps native"]


def test_records_of_a_store_know_their_recipe_and_samples(tmp_path: Path) -> None:
    store = keep(tmp_path, accuracy(trained("effseg"), 44.0), record(trained("effseg"), "params", {"params_head": 1.0}))
    known = load(tmp_path)
    assert set(known["recipe"]) == {"demo"}
    (samples,) = set(known.loc[known["probe"] == "accuracy_true_boxes", "samples"])
    with np.load(samples) as arrays:
        assert "resampled_ap_star" in arrays
    assert known.loc[known["probe"] == "params", "samples"].isna().all()
    samples.unlink()
    assert frame_of_entries(store)["samples"].isna().all(), "a file that is not there is none"


def test_records_alone_are_the_same_but_for_these() -> None:
    known = frame([accuracy(trained("effseg"), 44.0)])
    assert known[["recipe", "samples"]].isna().all(axis=None)
    assert list(known["name"])[:2] == ["ap_star", "apb_star"]
