"""How long do 1,000 resamples take? Times the intervals of a made-up result, of the size of COCO's val2017 by default.

python -m benchmarks.bootstrap
python -m benchmarks.bootstrap --images 500 --resamples 100
"""

import argparse
import resource
import time

import numpy as np

from bench.accuracy.average_precision import metrics
from bench.accuracy.bootstrap import intervals
from bench.accuracy.matching import Matches
from bench.accuracy.protocol import PRESETS

OBJECTS_PER_IMAGE = 8.4
DETECTIONS_PER_IMAGE = 55.4
NUM_CLASSES = 80


def result(num_images: int, generator: np.random.Generator) -> Matches:
    """Matches as a good model has them: 90 % of the objects are found at an IoU of 0.5 and half of them at 0.95.

    A few classes have most of the objects; 41 % of these are small, 35 % of medium size. One detection in twenty has
    another size than its object.
    """
    protocol = PRESETS["coco"]
    num_objects, num_detections = (int(num_images * many) for many in (OBJECTS_PER_IMAGE, DETECTIONS_PER_IMAGE))
    shares = 1 / np.arange(1, NUM_CLASSES + 1)
    truth_category = generator.choice(NUM_CLASSES, num_objects, p=shares / shares.sum())
    truth_image = generator.integers(num_images, size=num_objects)
    truth_size = generator.choice((1, 2, 3), num_objects, p=(0.41, 0.35, 0.24))

    of_object = generator.permutation(num_detections) < num_objects
    image, category = (generator.integers(many, size=num_detections) for many in (num_images, NUM_CLASSES))
    size, truth = (generator.integers(1, 4, size=num_detections) for _ in range(2))
    image[of_object], category[of_object] = truth_image, truth_category
    size[of_object] = truth[of_object] = truth_size
    size[generator.random(num_detections) < 0.05] = 2
    highest_iou = np.where(of_object, 0.95 + (generator.random(num_detections) - 0.5) * 0.9 / 0.8, 0.0)
    score = np.clip(generator.normal(0.3, 0.2, num_detections) + 0.4 * of_object, 0, 1)

    found = highest_iou >= np.array(protocol.iou_thresholds)[:, None]
    areas = np.arange(len(protocol.areas))[:, None]
    inside, truth_inside = ((areas == 0) | (sizes == areas) for sizes in (size, truth))
    matched = found & truth_inside[:, None]
    ignored = np.where(found, ~truth_inside[:, None], ~inside[:, None])
    order = np.lexsort((image, -score, category))
    return Matches(
        protocol=protocol,
        image_ids=np.arange(num_images),
        category_ids=np.arange(NUM_CLASSES),
        frequencies=("",) * NUM_CLASSES,
        image=image[order].astype(np.int32),
        category=category[order].astype(np.int32),
        score=score[order],
        rank=np.zeros(num_detections, np.int32),
        matched=matched[..., order],
        ignored=ignored[..., order],
        truth_image=truth_image.astype(np.int32),
        truth_category=truth_category.astype(np.int32),
        truth_ignored=(areas != 0) & (truth_size != areas),
    )


def main() -> None:
    """Print seconds, seconds of processor time and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    matches = result(options.images, np.random.default_rng(0))
    print(
        f"{options.images} images, {len(matches.score)} detections, {len(matches.truth_image)} objects, "
        f"true positives at 0.5 and 0.95: {matches.matched[0].sum(axis=1)[[0, -1]].tolist()}"
    )
    start = time.perf_counter()
    values = metrics(matches)
    print(f"AP {values['ap']:.2f} in {time.perf_counter() - start:.2f} s")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor = time.perf_counter(), time.process_time()
    low, high = intervals(matches, resamples=options.resamples)["ap"]
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"[{low:.2f}, {high:.2f}] from {options.resamples} resamples in {seconds:.1f} s "
        f"({processor:.1f} s of processor time, {added / 1024:.0f} MiB more memory)"
    )


if __name__ == "__main__":
    main()
