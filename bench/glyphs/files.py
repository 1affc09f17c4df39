"""Glyphs as files in COCO's layout, with an annotation file like COCO's and one like LVIS's about the same images."""

import io
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from pycocotools import mask as coco_mask

from bench.files import write_whole
from bench.glyphs.annotator import polygon_area, polygon_box
from bench.glyphs.dataset import SEEDS, Split, check_num_images, image_id
from bench.glyphs.font import CATEGORIES
from bench.glyphs.scene import SIDE, VERSION, SceneObject, scene

_PARTS: Mapping[Split, str] = {"train": "train", "tune": "val", "test": "val"}

_Entry = dict[str, object]


def write(out: Path, split: Split, num_images: int) -> None:
    """Write the first images of a split, as PNG files whose pixels are those made on the fly, then the annotations.

    `OUT/train2017` (`val2017` for tune and test), `OUT/annotations/instances_train2017.json` with the coarse polygons,
    and `glyphs_fine_train.json` beside it with the exact masks. Every file appears whole or not at all, and the
    annotations come last: where they are, their images are. Those of an earlier run are replaced.
    Raises ValueError for a number of images that a split cannot have, where a file cannot be written, and for a folder
    with other annotations, such as COCO's own.
    """
    check_num_images(num_images)
    part = _PARTS[split]
    folder, annotations = out / f"{part}2017", out / "annotations"
    images: list[_Entry] = []
    coarse: list[_Entry] = []
    fine: list[_Entry] = []
    names = (f"instances_{part}2017.json", f"glyphs_fine_{part}.json")
    for path in (annotations / name for name in names):
        if path.exists() and not _is_ours(path):
            raise ValueError(
                f"{path} is there, and holds no glyphs; expected a folder without a data set; name another one."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        annotations.mkdir(parents=True, exist_ok=True)
        for index in range(num_images):
            made, number = scene(SEEDS[split], index), image_id(split, index)
            write_whole(folder / f"{number:012d}.png", _png(made.image))
            images.append(_image(number, made.objects))
            coarse += [_coarse(each, number) for each in made.objects]
            fine += [_fine(each, number) for each in made.objects]
        info = f"glyphs {VERSION}, {split}"
        write_whole(annotations / names[0], _file(f"{info}, coarse polygons", images, coarse))
        write_whole(annotations / names[1], _file(f"{info}, exact masks", images, fine))
    except OSError as error:
        raise ValueError(
            f"The glyphs cannot be written to {out}: {error.strerror}; expected a folder with enough space; "
            "make room or name another one."
        ) from error


def _is_ours(path: Path) -> bool:
    """Whether a file is an annotation file that `write` made, of this version or another."""
    start = b'{"info":{"description":"glyphs '
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _png(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    content = io.BytesIO()
    # Noise hardly shrinks, however long one tries.
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return content.getvalue()


def _image(number: int, objects: Sequence[SceneObject]) -> _Entry:
    """An image, with the classes that are absent and those of which not every object is annotated: none.

    LVIS's annotators looked for few of its classes in an image; here the scene is known, so every class counts in every
    image.
    """
    present = {CATEGORIES[each.label].id for each in objects}
    return {
        "id": number,
        "file_name": f"{number:012d}.png",
        "height": SIDE,
        "width": SIDE,
        "neg_category_ids": [each.id for each in CATEGORIES if each.id not in present],
        "not_exhaustive_category_ids": [],
    }


def _coarse(thing: SceneObject, image: int) -> _Entry:
    return {
        "image_id": image,
        "category_id": CATEGORIES[thing.label].id,
        "segmentation": [ring.ravel().tolist() for ring in thing.polygons],
        "bbox": polygon_box(thing.polygons),
        "area": polygon_area(thing.polygons),
        "iscrowd": 0,
    }


def _fine(thing: SceneObject, image: int) -> _Entry:
    return {
        "image_id": image,
        "category_id": CATEGORIES[thing.label].id,
        "segmentation": _run_lengths(thing.mask),
        "bbox": thing.box,
        "area": thing.area,
    }


def _run_lengths(mask: Bool[np.ndarray, "H W"]) -> _Entry:
    encoded = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def _categories() -> list[_Entry]:
    """The classes, with LVIS's fields. No synset is WordNet's: a glyph is nobody else's class."""
    return [
        {
            "id": each.id,
            "name": each.name,
            "supercategory": "glyph",
            "synset": f"{each.name}.glyph",
            "synonyms": [each.name],
            "def": unicodedata.name(each.character).lower(),
            "frequency": "f",
        }
        for each in CATEGORIES
    ]


def _file(info: str, images: Sequence[_Entry], objects: Sequence[_Entry]) -> bytes:
    numbered = [{"id": place + 1, **each} for place, each in enumerate(objects)]
    return msgspec.json.encode(
        {"info": {"description": info}, "images": images, "annotations": numbered, "categories": _categories()}
    )
