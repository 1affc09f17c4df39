"""What does it cost, and what does it give, to go from a folder of pictures to a table and overlays?

Makes 157 pictures of one class, as a tool exports them: own file names in sub-folders, up to 110 small objects each,
one annotation file. Then splits them, trains two heads, measures and predicts, as a user would on the command line,
and says what processor time each step took.

python -m benchmarks.own_data FOLDER
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Int16, UInt8
from PIL import Image
from pycocotools import mask as coco_mask

from bench.glyphs.font import CATEGORIES, outline
from bench.glyphs.raster import SAMPLES, Filled, coverage, fill
from bench.glyphs.shape import posed
from bench.glyphs.texture import clouds, surface

SIDE = 512
NUM_PICTURES = 157
MOST_OBJECTS = 110
HEADS = ("mask_rcnn", "effseg")

_LABEL = next(place for place, category in enumerate(CATEGORIES) if category.name == "flower")
# The shapes of the embedded data are 48 to 240 pixels long: here 20 to 100.
_SCALE = 0.42
_LEAST_VISIBLE = 0.7
_TRIES = 30
_CONTRAST, _SHADING, _NOISE = 60.0, 50.0, 8.0
_GROUND = -1


def write(folder: Path, num_pictures: int = NUM_PICTURES, seed: int = 0) -> None:
    """Write `FOLDER/field_<k>/shot <n>.jpg` and `FOLDER/annotations.json`, an export about all of them."""
    images: list[dict[str, object]] = []
    objects: list[dict[str, object]] = []
    for index in range(num_pictures):
        name = f"field_{index % 3}/shot {index:03d}.jpg"
        rng = np.random.default_rng([seed, index])
        things, owner = _arranged(rng)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_painted(rng, things)).save(path, quality=92)
        images.append({"id": index + 1, "file_name": name, "width": SIDE, "height": SIDE})
        objects += _annotated(things, owner, index + 1, len(objects) + 1)
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": CATEGORIES[_LABEL].name}]}
    (folder / "annotations.json").write_bytes(msgspec.json.encode(content))


def _arranged(rng: np.random.Generator) -> tuple[list[Filled], Int16[np.ndarray, "Y X"]]:
    """Lay objects on top of each other, so that of each at least half is seen; say of every sample whose it is."""
    things: list[Filled] = []
    least: list[float] = []
    num_seen = np.zeros(0, np.int64)
    owner = np.full((SAMPLES * SIDE, SAMPLES * SIDE), _GROUND, np.int16)
    for _ in range(int(rng.integers(10, MOST_OBJECTS, endpoint=True))):
        for _ in range(_TRIES):
            whole = fill([_SCALE * ring for ring in posed(rng, outline(_LABEL), round(SIDE / _SCALE))])
            thing = whole.clip(SIDE, SIDE)
            window = owner[thing.samples]
            num_hidden = np.bincount(window[thing.inside] - _GROUND, minlength=len(things) + 1)[1:]
            still_seen = np.append(num_seen - num_hidden, thing.inside.sum())
            wanted = [*least, _LEAST_VISIBLE * float(whole.inside.sum())]
            if (still_seen >= wanted).all():
                window[thing.inside] = len(things)
                things.append(thing)
                least, num_seen = wanted, still_seen
                break
    return things, owner


def _painted(rng: np.random.Generator, things: Sequence[Filled]) -> UInt8[np.ndarray, "H W 3"]:
    image = surface(rng, SIDE, SIDE, rng.uniform(30, 225, 3), _CONTRAST)
    for thing in things:
        window = image[thing.pixels]
        colours = rng.uniform(20, 235, (3, 3))
        colour = colours[np.argmax(np.square(colours - window.mean(axis=(0, 1))).sum(axis=1))]
        opacity = coverage(thing.inside)[..., None] / np.float32(SAMPLES**2)
        window += opacity * (surface(rng, window.shape[0], window.shape[1], colour, _CONTRAST) - window)
    image += np.float32(_SHADING) * (clouds(rng, SIDE, SIDE, SIDE / 2) - np.float32(0.5))[..., None]
    image += np.float32(rng.uniform(0, _NOISE)) * rng.standard_normal(image.shape, np.float32)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def _annotated(
    things: Sequence[Filled], owner: Int16[np.ndarray, "Y X"], image_id: int, first_id: int
) -> list[dict[str, object]]:
    """The seen part of every object, exactly."""
    found: list[dict[str, object]] = []
    for place, thing in enumerate(things):
        mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
        mask[thing.pixels] = 2 * coverage(owner[thing.samples] == place) > SAMPLES**2
        encoded = coco_mask.encode(mask)
        found.append(
            {
                "id": first_id + place,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": {"size": [SIDE, SIDE], "counts": encoded["counts"].decode()},
                "bbox": coco_mask.toBbox(encoded).tolist(),
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
        )
    return found


def _commands(folder: Path) -> Iterator[tuple[str, ...]]:
    """What a user types, for 120 pictures to train on and 37 to measure."""
    parts, weights = folder / "parts", str(folder / "weights")
    val = [f"{37 / NUM_PICTURES:.4f}", "--seed", "0"]
    yield "prepare", "split", "--data", str(folder / "export"), "--val", *val, "--out", str(parts)
    yield "train", "own", "--data", str(parts), "--out", weights, "--heads", *HEADS
    yield "run", "own", "--data", str(parts), "--weights", weights, "--results", str(folder / "results")
    pictures = str(folder / "export" / "field_0")
    yield "predict", pictures, "--head", HEADS[-1], "--weights", weights, "--out", str(folder / "overlays")


def _core_minutes(command: Sequence[str]) -> float:
    """Run a command of the project, showing what it prints; give the processor time of it and all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Threads that wait for each other on a busy machine take time that is none of the work's.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "run_bench.py", *command], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pictures where they are missing, and print the core-minutes of every command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    if not (folder / "export" / "annotations.json").is_file():
        write(folder / "export")
    minutes = {}
    for command in _commands(folder):
        print("$ run_bench.py", *command, flush=True)
        minutes[" ".join(command[:2])] = _core_minutes(command)
    for name, spent in {**minutes, "all": sum(minutes.values())}.items():
        print(f"{spent:6.1f} core-minutes  {name}")


if __name__ == "__main__":
    main()
