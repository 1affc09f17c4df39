"""The verbs that score finished predictions, on the small data sets of the goldens."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.record import decode, rows

GOLDEN = Path(__file__).parents[2] / "golden" / "accuracy"
COCO = ("--coco-annotations", str(GOLDEN / "coco_annotations.json"))


def evaluate(*options: str) -> int:
    return cli.main(["evaluate", "--predictions", str(GOLDEN / "coco_results.json"), "--resamples", "50", *options])


@pytest.fixture
def better(tmp_path: Path) -> str:
    """The annotations themselves as predictions."""
    annotations = json.loads((GOLDEN / "coco_annotations.json").read_text())["annotations"]
    results = [
        {key: annotation[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.5}
        for annotation in annotations
        if not annotation.get("iscrowd")
    ]
    path = tmp_path / "better.json"
    path.write_text(json.dumps(results))
    return str(path)


def test_evaluate_prints_the_table_and_what_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*COCO, "--verify") == 0
    out, err = capsys.readouterr()
    assert "Accuracy of coco_results" in out
    assert "APB" in out
    assert "verified coco: pycocotools" in err
    assert "verified coco-boundary: faster-coco-eval" in err


def test_evaluate_writes_a_record_and_a_row_per_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "classes.csv"
    assert evaluate(*COCO, "--json", "-", "--per-class", str(table)) == 0
    out, err = capsys.readouterr()
    record = decode(out.encode())
    ap = record.get("ap")
    assert 0 < record.get("apb").value < ap.value < 100
    assert ap.interval is not None
    assert ap.interval[0] <= ap.value <= ap.interval[1]
    assert "Accuracy of" in err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    of_coco = [float(row["ap"]) for row in rows if row["protocol"] == "coco" and row["ap"]]
    assert sum(of_coco) / len(of_coco) == pytest.approx(ap.value)


def test_evaluate_scores_boxes_one_class_and_another_cap(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*COCO, "--boxes", "--class-agnostic", "--cap", "7", "--verify") == 0
    out, err = capsys.readouterr()
    assert "Box AP" in out
    assert "class-agnostic" in out
    assert "verified coco-boxes: pycocotools" in err
    assert evaluate(*COCO, "--cap", "0") == 2
    assert "The cap on detections is 0" in capsys.readouterr().err


def test_evaluate_says_where_accuracy_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(*COCO, "--errors", "--json", "-") == 0
    out, err = capsys.readouterr()
    assert decode(out.encode()).get("dap50", error="missed").interval is not None
    assert "What each kind of error costs" in err
    assert "How found objects are drawn" in err
    assert "What is taken for what" not in err, "no class is taken for another here"


def test_evaluate_needs_annotations(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate() == 2
    assert "give at least one annotation file" in capsys.readouterr().err


def test_compare_files(better: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(GOLDEN / "coco_results.json"), better, *COCO, "--resamples", "200"]
    assert cli.main(arguments) == 0
    out, _ = capsys.readouterr()
    assert "better.json against coco_results.json" in out
    assert cli.main([*arguments, "--json", "-"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (ap,) = (row for row in rows if row["name"] == "ap")
    assert ap["second"] == pytest.approx(100)
    assert ap["difference"] == pytest.approx(ap["second"] - ap["first"])
    assert ap["verdict"] == "higher"
    assert cli.main([*arguments, "--boxes", "--class-agnostic", "--cap", "7"]) == 0
    out, _ = capsys.readouterr()
    assert "Box AP50" in out
    assert "Box AR" not in out


def test_compare_errors(better: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(GOLDEN / "coco_results.json"), better, *COCO, "--errors", "--resamples", "50"]
    assert cli.main([*arguments, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert "Errors of better.json against coco_results.json, dAP" in err
    assert "Outlines of better.json against coco_results.json" in err
    rows = [json.loads(line) for line in out.splitlines()]
    (missed,) = (row for row in rows if row["name"] == "dap50" and row["error"] == "missed" and len(row) == 10)
    assert missed["first"] > missed["second"] == 0
    assert cli.main(["compare", "a/cell/accuracy", better, *COCO, "--errors"]) == 2
    assert "cells keep match tables and no masks" in capsys.readouterr().err


def test_compare_says_what_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["compare", "main/effsg/accuracy", "b", "--results", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "There is no results file main/effsg/accuracy, so it should be a cell." in err
    assert f"There is no cell main/effsg/accuracy in {tmp_path}; expected one that `run` has measured" in err


def test_prepare_lvis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "cocofied.json"
    synsets = [("person.n.01", 1), ("oven.n.01", 2), ("zebra_crossing.n.01", 3)]
    source = {
        "images": [
            {"id": 5, "height": 8, "width": 8, "neg_category_ids": [2], "not_exhaustive_category_ids": []},
        ],
        "annotations": [
            {
                "id": 9,
                "image_id": 5,
                "category_id": 1,
                "bbox": [1, 1, 4, 4],
                "area": 16,
                "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]],
            }
        ],
        "categories": [{"id": number, "name": synset, "synset": synset} for synset, number in synsets],
    }
    (tmp_path / "lvis.json").write_text(json.dumps(source))
    assert cli.main(["prepare", "lvis", "--lvis-annotations", str(tmp_path / "lvis.json"), "--out", str(target)]) == 0
    out = capsys.readouterr().out
    assert "1 images, 1 objects, 2 classes" in out
    made = json.loads(target.read_text())
    assert made["images"][0]["neg_category_ids"] == [79]
    assert made["annotations"][0]["category_id"] == 1


def test_prepare_glyphs_makes_a_data_set_that_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "glyphs"
    assert cli.main(["prepare", "glyphs", "--out", str(out), "--images", "2"]) == 0
    assert "2 images of 20 classes in val2017" in capsys.readouterr().out
    fine = out / "annotations" / "glyphs_fine_val.json"
    arguments = ("run", "oracle", "--coco", str(out), "--lvis", str(fine), "--results", str(tmp_path / "results"))
    assert cli.main([*arguments, "--json", "-"]) == 0
    records = [decode(line.encode()) for line in capsys.readouterr().out.splitlines()]
    best = next(record for record in records if record.subject.head == "grid224_soft")
    assert best.get("ap_star").value > 99
    assert best.get("ap_star_images").value == 2
    assert best.protocol["lvis_version"] == "LVIS's format, own classes"


def test_prepare_lvis_needs_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", "lvis", "--out", str(tmp_path / "x.json")]) == 2
    assert "Give it: --lvis-annotations FILE." in capsys.readouterr().err


def test_certify(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code says whether something failed."""
    from bench.contract import Measurement
    from bench.probes import certificate

    failed = 0

    def measure(*_: object) -> Measurement:
        return Measurement(values=tuple(rows({"checks": 3, "failed": failed}, "checks")))

    monkeypatch.setattr(certificate, "measure", measure)
    arguments = ["certify", "--backends", "sps", "--results", str(tmp_path), "--json", "-"]
    assert cli.main(arguments) == 0
    assert decode(capsys.readouterr().out.encode()).subject.backend == "sps"
    failed = 1
    assert cli.main(arguments) == 1
    assert "certify/sps-none-seed0/certificate: 1 of 3 checks failed" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("certificate-*.json"))) == 2


@pytest.mark.parametrize("option", ["--json", "--per-class"])
@pytest.mark.parametrize("given", ["--predictions", "--coco-annotations", "--images"])
@pytest.mark.parametrize("link", [None, Path.symlink_to, Path.hardlink_to], ids=["itself", "symlink", "hardlink"])
def test_no_output_is_written_over_what_is_read(
    tmp_path: Path,
    option: str,
    given: str,
    link: Callable[[Path, Path], None] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read, target = tmp_path / "read.json", tmp_path / "written.json"
    read.write_text("[]")
    if link is None:
        target = read
    else:
        link(target, read)
    options = {"--predictions": str(GOLDEN / "coco_results.json"), "--coco-annotations": COCO[1], given: str(read)}
    line = [part for pair in {**options, option: str(target)}.items() for part in pair]
    assert cli.main(["evaluate", *line]) == 2
    assert f"error: {option} {target} would be written over, and {read} is read." in capsys.readouterr().err
    assert read.read_text() == "[]"


def test_an_output_of_before_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    for option in ("--json", "--per-class"):
        (tmp_path / "before").write_text("mine")
        assert evaluate(*COCO, option, str(tmp_path / "before"), "--resamples", "-1") == 2
        assert (tmp_path / "before").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["before"]
