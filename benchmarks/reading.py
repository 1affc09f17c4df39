"""How long does it take to read and to check a data set of COCO's size, and how much memory?

Replicates an annotation file and its pictures (as links) with new ids to as many images as train2017 has, then opens
that in a process of its own on one thread: every entry is read, every mask and box checked, every picture found.

python -m benchmarks.reading coco/annotations/instances_val2017.json coco/val2017
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.data.coco import open_images
from bench.data.layout import Part

NUM_IMAGES = 118_287
"""Of train2017, which has 860,001 objects."""


def write(annotations: Path, pictures: Path, folder: Path, num_images: int) -> Part:
    """Write the replicated annotations, and links to the pictures that they name."""
    source = msgspec.json.decode(annotations.read_bytes())
    objects: dict[int, list[dict[str, object]]] = {image["id"]: [] for image in source["images"]}
    for each in source["annotations"]:
        objects[each["image_id"]].append(each)
    made = Part(pictures=folder / "pictures", annotations=folder / "annotations.json")
    made.pictures.mkdir()
    images, replicated = [], []
    for number, image in zip(range(1, num_images + 1), itertools.cycle(source["images"]), strict=False):
        name = f"{number:012d}{Path(image['file_name']).suffix}"
        os.symlink((pictures / image["file_name"]).resolve(), made.pictures / name)
        images.append({**image, "id": number, "file_name": name})
        for each in objects[image["id"]]:
            replicated.append({**each, "id": len(replicated) + 1, "image_id": number})
    content = {"images": images, "annotations": replicated, "categories": source["categories"]}
    made.annotations.write_bytes(msgspec.json.encode(content))
    return made


def read(folder: Path) -> None:
    """Open what was written, and print the seconds, the processor time and the memory that it takes."""
    start, before = time.perf_counter(), time.process_time()
    files = open_images(Part(pictures=folder / "pictures", annotations=folder / "annotations.json"))
    wall, spent = time.perf_counter() - start, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    size = (folder / "annotations.json").stat().st_size / 1e6
    print(f"{files.sentence()}, {size:.0f} MB: {wall:.1f} s, {spent:.1f} s of one core, {peak:.2f} GB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the data set to a temporary folder and read it in another process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        write(given.annotations, given.pictures, Path(name), given.images)
        for _ in range(given.repeats):
            command = [sys.executable, "-c", f"from benchmarks import reading; reading.read(reading.Path({name!r}))"]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
