"""What does it cost to show and write what was found, beside finding it? The shares of `predict`, picture by picture.

With random weights, a model at the paper's sizes finds up to 100 objects in every photograph, and all are drawn.

python -m benchmarks.predict coco/val2017
python -m benchmarks.predict coco/val2017 --images 5 --head point_rend
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.contract import Context
from bench.data.coco import COCO_CATEGORY_IDS
from bench.data.given_pictures import named_pictures
from bench.data.images import read_any
from bench.inference.prediction_folder import PredictionFolder
from bench.inference.predictor import Predictor
from bench.model.build import load
from bench.model.task import Task
from bench.record import Subject


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per picture, and the shares of reading, the model, and drawing with encoding and writing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--head", default="effseg")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--backbone", default="r50_fpn")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    head = options.head
    subject = Subject(
        head=head,
        backend="sps" if head == "effseg" else None,
        module="sfm" if head == "effseg" else None,
        backbone=options.backbone,
        preset=options.preset,
    )
    context = Context(device=options.device)
    predictor = Predictor(
        model=load(subject, context),
        task=Task(subject=subject, category_ids=COCO_CATEGORY_IDS, data=""),
        device=options.device,
    )
    pictures = named_pictures([options.pictures]).pictures[: options.images]
    predictor(pictures[0].path)  # one that warms up
    print(f"{torch.get_num_threads()} threads")
    print(f"{'picture':>20} {'objects':>8} {'read ms':>8} {'model ms':>9} {'show ms':>8} {'share':>6}")
    sums = [0.0, 0.0, 0.0]
    with TemporaryDirectory() as temporary:
        folder = PredictionFolder.of(Path(temporary), pictures, [])
        for picture in pictures:
            times = [time.perf_counter()]
            image = read_any(picture.path)
            times.append(time.perf_counter())
            found = predictor(image)
            times.append(time.perf_counter())
            folder.add(picture, found, found)
            times.append(time.perf_counter())
            spent = [1000 * (after - before) for before, after in itertools.pairwise(times)]
            sums = [total + each for total, each in zip(sums, spent, strict=True)]
            read, model, show = spent
            share = 100 * show / sum(spent)
            print(f"{picture.name:>20} {len(found):8d} {read:8.1f} {model:9.1f} {show:8.1f} {share:5.1f}%")
        start = time.perf_counter()
        folder.finish()
        sums[2] += 1000 * (time.perf_counter() - start)
    read, model, show = (100 * each / sum(sums) for each in sums)
    print(f"reading {read:.1f} %, model {model:.1f} %, overlay, encoding and writing {show:.1f} %")


if __name__ == "__main__":
    main()
