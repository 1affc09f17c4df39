"""From a checkpoint of the authors' code to the table of published models, as a user goes, with weights of a formula.

The pictures are strips: resized by the rule of the paper, they have a fifteenth of the cells of a photograph.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import cli
from bench.data.coco import COCO_CATEGORY_IDS
from bench.foreign import detseg
from bench.model.build import build
from bench.planning.published import published
from tests import formula

SEED = "a formula is no training"
WIDTH, HEIGHT = 640, 32
NUM_IMAGES = 2
NUM_OBJECTS = 8


def checkpoint(folder: Path, head: str) -> Path:
    """What the authors' script writes of a model, without its optimizer."""
    (subject,) = {cell.subject for cell in published() if cell.subject.head == head}
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in detseg.to_theirs(build(subject).state_dict()).items()}
    weights = {key: torch.from_numpy(formula.weight(SEED, key, shape)) for key, shape in shapes.items()}
    path = folder / f"{head}.pth"
    torch.save({"epoch": 12, "model": weights}, path)
    return path


def strips(folder: Path) -> Path:
    """A data set in COCO's layout: noise, and in each picture small objects that nobody finds."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    for number in range(1, NUM_IMAGES + 1):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "val2017" / f"{number:012d}.jpg")
    objects = []
    for place in range(NUM_IMAGES * NUM_OBJECTS):
        left, top = 20 + 75 * (place % NUM_OBJECTS), 9
        right, bottom = left + 9, top + 14
        objects.append(
            {
                "id": place + 1,
                "image_id": place // NUM_OBJECTS + 1,
                "category_id": COCO_CATEGORY_IDS[place % NUM_OBJECTS],
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
                "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
            }
        )
    images = [{"id": number, "width": WIDTH, "height": HEIGHT} for number in range(1, NUM_IMAGES + 1)]
    categories = [{"id": number, "name": f"class {number}"} for number in COCO_CATEGORY_IDS]
    content = {"images": images, "annotations": objects, "categories": categories}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


def test_from_a_checkpoint_to_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, results, page = tmp_path / "weights", tmp_path / "results", tmp_path / "page"
    assert cli.main(["import", "detseg", str(checkpoint(tmp_path, "mask_rcnn")), "--out", str(weights)]) == 0
    measured = ["run", "published", "--coco", str(strips(tmp_path / "strips")), "--weights", str(weights)]
    probes = ["--probes", "params", "box_accuracy", "accuracy"]
    assert cli.main([*measured, "--results", str(results), *probes]) == 0
    out, err = capsys.readouterr()
    assert "4 cells: 0 in store, 4 to do" in err
    for finishing in ("dilated", "exact"):
        assert f"seed0/accuracy ({finishing} masks)  " in err
    shown = " ".join(out.split())
    assert "THE WEIGHTS OF Mask R-CNN++ FIND NOTHING" in shown
    (row,) = [line.split() for line in out.splitlines() if "nothing" in line and "46.99" in line]
    assert row[-1] == "nothing"
    assert "41.28" in row
    finished = [word for line in out.splitlines() for word in line.split()[2:3] if line.startswith(" Mask R-CNN++")]
    assert {"dilated", "exact"} <= set(finished)
    assert cli.main(["report", "--results", str(results), "--out", str(page)]) == 0
    tables = (page / "tables.md").read_text()
    assert "## Published models, measured" in tables
    assert "FIND NOTHING" in tables
    assert "FIND NOTHING" in (page / "index.html").read_text()
    assert tables.count("## ") == 4, "no table of the paper has anything of these models"
