"""The small files of public bug reports, each with what is right for it, and with its undamaged twin.

Three pictures, two classes, seven objects, nine predictions: what is wrong with each case says its own README. The
twin of a case is the same data without the fault.
"""

import json
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.accuracy.evaluate import Evaluation, evaluate

CASES = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[2] / ".." / "shared")) / "cases"
TOY = 76.4

if not CASES.is_dir():
    pytest.skip(
        f"no cases: {CASES} is not there; set BENCH_TEST_DATA to the folder that holds cases/", allow_module_level=True
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is right: the first metric to one digit, or an error; `warning` is what is told beside a number.

    `undamaged` is what its twin has by the same options. Of `ap` and `error`, either is right where both are given.
    """

    ap: float | None = None
    error: str | None = None
    warning: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    undamaged: float = TOY


READ = Case(ap=TOY)
TEXT = Case(ap=TOY, error=r"(annotation|image|result) 0.*text where a number belongs")
ONE_CLASS = {"class_agnostic": True}
BOXES = {"boxes": True}
BY_FILE_NAME = r"joined by file_name.*contradict it on 2 of 3 images: image 3 is 3\.jpg there and 2\.jpg"

EXPECTED: dict[str, list[Case]] = {
    "all_crowd": [Case(warning="no object on these images that counts")],
    "annotations_dict": [Case(ap=TOY, error=r"`annotations` is an object.*expected a list")],
    "bare_annotations": [READ],
    "bom": [READ],
    "bool_crowd": [READ],
    "box_among_polygons": [Case(error=r"annotation 0 \(image 1\) has no polygon.*; expected")],
    "box_as_polygon": [Case(ap=41.0, warning="pixel")],
    "box_results": [
        Case(error="holds boxes and no masks; expected masks, .* say `boxes`"),
        Case(ap=75.0, options=BOXES, undamaged=75.0),
    ],
    "dense_cells": [
        Case(ap=25.7, warning="300 objects on 1 images lie beyond the cap of 100 .* A cap of 400 counts all"),
        Case(ap=100.0, options={"cap": 1000}),
        Case(ap=25.7, options=ONE_CLASS, undamaged=76.6, warning="beyond the cap of 100 predictions of every image"),
    ],
    "empty_object": [Case(error=r"annotation 3 \(image 2\) has no polygon.*; expected")],
    "flat_polygon": [Case(ap=TOY, error="put the list into a list")],
    "float_crowd": [READ],
    "float_ids": [READ],
    "image_twice": [Case(error="lists image 1 twice .*; expected unique ids")],
    "inf_area": [Case(error=r"annotation 1 \(image 1\) has inf as its area")],
    "jsonl_results": [Case(ap=TOY, warning=r"9 results, one on every line \(JSON Lines\)")],
    "nan_bbox_result": [Case(error=r"result 0 \(image 1\) has a number that is NaN or infinite as its bbox")],
    "no_categories": [Case(error="has no categories, .*; expected a list")],
    "no_category_results": [
        Case(error=r"result 0 \(image 1\) has no category_id; expected .* say `class_agnostic`"),
        Case(ap=76.6, options=ONE_CLASS, undamaged=76.6),
    ],
    "no_scores": [Case(error=r"result 0 \(image 1\) .*missing required field `score`")],
    "no_segmentation": [Case(error=r"annotation 0 \(image 1\).*(segmentation|polygon)")],
    "no_size": [Case(error="missing required field `height`")],
    "null_category": [Case(error=r"annotation 2 \(image 1\).*category_id")],
    "null_crowd": [READ],
    "null_segmentation": [Case(error=r"annotation 2 \(image 1\).*(segmentation|polygon)")],
    "number_of_file_is_id": [Case(ap=TOY, warning=BY_FILE_NAME)],
    "numeric_string_ids": [READ],
    "one_swapped": [Case(error=r"result 0 \(image 1\): .*240 x 320 pixels \(transposed\?\)")],
    "only_point": [Case(ap=58.3, warning="pixel")],
    "point_pairs": [READ],
    "rle_ascii_list": [Case(error=r"annotation 0 \(image 1\).*look like codes of characters.*write counts.decode\(\)")],
    "rle_bytes_repr": [Case(error=r"annotation 0 \(image 1\).*the text of Python's bytes.*write counts.decode\(\)")],
    "rle_floats": [READ],
    "same_image_id": [Case(error="lists image 1 twice .*; expected unique ids")],
    "score_string": [Case(ap=TOY, error=TEXT.error, warning="results with a score as text, read as the number: 9")],
    "stem_image_ids": [Case(ap=TOY, warning="IMG_0041 are no ids of the annotations; 3 of 3 are names of files")],
    "string_ann_id": [READ],
    "string_area": [TEXT],
    "string_image_id_gt": [TEXT],
    "string_size": [TEXT],
    "utf16": [READ],
    "wrapped_results": [Case(ap=TOY, warning="a data set, whose 9 annotations with scores are the results")],
    "xyxy_bbox": [Case(ap=TOY, warning="box")],
    "zero_bbox": [Case(ap=TOY, warning="box")],
    "zip": [Case(error=r"is a zip archive with instances\.json inside; expected JSON; unpack it first")],
}

ROWS = [
    pytest.param(name, case, id=" ".join([name, *case.options])) for name, cases in EXPECTED.items() for case in cases
]


def test_every_case_has_a_row() -> None:
    assert {path.parent.name for path in CASES.glob("*/pred.json")} == EXPECTED.keys()


def scored(folder: Path, options: dict[str, Any]) -> Evaluation:
    return evaluate(folder / "pred.json", coco=folder / "gt.json", resamples=0, **options)


def outcome(folder: Path, options: dict[str, Any]) -> Evaluation | str:
    """The evaluation, or the message of its error."""
    try:
        return scored(folder, options)
    except ValueError as error:
        return str(error)


def ap(evaluation: Evaluation) -> float | None:
    value = evaluation.scores[0].metrics.get("ap")
    return None if value is None else round(value, 1)


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    """The toy as it is: annotations and results of two cases whose other file has the fault."""
    (tmp_path / "gt.json").write_bytes((CASES / "jsonl_results" / "gt.json").read_bytes())
    (tmp_path / "pred.json").write_bytes((CASES / "bom" / "pred.json").read_bytes())
    return tmp_path


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_a_case_gives_what_its_row_says(name: str, case: Case, twin: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert ap(scored(twin, case.options)) == case.undamaged
    assert caplog.messages == [], "the twin has no fault"
    found = outcome(CASES / name, case.options)
    if isinstance(found, str):
        assert case.error is not None, found
        assert str(CASES / name) in found, "the file is named"
        assert re.search(case.error, found), found
        assert "(an annotation file?)" not in found
        return
    assert case.ap is not None or case.error is None
    assert ap(found) == case.ap
    assert re.search(case.warning or "", "\n".join(caplog.messages)), caplog.text


def test_ids_that_contradict_file_names_are_never_joined_in_silence(tmp_path: Path) -> None:
    """The twin of `number_of_file_is_id`: the ids of the annotations in the results, or file names that do not help."""
    folder = CASES / "number_of_file_is_id"
    truth, results = (json.loads((folder / name).read_bytes()) for name in ("gt.json", "pred.json"))
    by_name = {image["file_name"]: image["id"] for image in truth["images"]}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "pred.json").write_text(
        json.dumps([result | {"image_id": by_name[result["file_name"]]} for result in results])
    )
    assert ap(scored(tmp_path, {})) == TOY
    results[-1]["file_name"] = "elsewhere.jpg"
    (tmp_path / "pred.json").write_text(json.dumps(results))
    with pytest.raises(
        ValueError, match=r"contradict its file names on 3 of 4 images: .*elsewhere\.jpg; write the ids"
    ):
        scored(tmp_path, {})


def test_objects_without_a_mask_are_left_out_when_asked() -> None:
    folder = CASES / "box_among_polygons"
    found = evaluate(folder / "pred.json", coco=folder / "gt.json", resamples=0, leave_out_maskless=True)
    values = {value.name: value.value for value in found.record().values}
    assert values["data_without_mask"] == 1
    assert 0 < values["ap"] < TOY, "the prediction of the object that is left out is a mistake"
    assert found.protocol["objects_without_mask"] == "left out"
    assert "objects_without_mask" not in scored(CASES / "string_ann_id", {}).protocol
