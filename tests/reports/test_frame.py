"""The tidy frame: names of subjects."""

import pandas as pd

from bench.record import Subject
from reports.frame import labels


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
