"""What a data set has, what was repaired in it or looks wrong, and which command is next."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.accuracy.protocol import ScoringProtocol
from bench.data import findings
from bench.data.annotations import read_annotations
from bench.data.coco import COCO_CATEGORY_IDS, CocoImages, CocoObject, open_images
from bench.data.folders import pictures_below
from bench.data.layout import DataSet, Part
from bench.data.split import content_of
from bench.planning.doctor import Finding

MANY_CLASSES = 1000
LARGE_SIDE = 3000
"""Pixels of a picture's longer side, of which the paper's input keeps less than half."""
TINY_SIDE = 8
"""Pixels: the paper's finest feature map has one cell for half of it."""
SMALLEST_PICTURE = 32
"""Pixels of a picture's shorter side: one cell of the coarsest feature map of the backbone."""
_MOST_NAMES = 5


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A part that could be opened, and its classes by id."""

    name: str
    part: Part
    files: CocoImages

    @cached_property
    def objects(self) -> list[CocoObject]:
        """All of them, crowds left out."""
        return [each for of_image in self.files.annotations.values() for each in of_image]

    @cached_property
    def names(self) -> Mapping[int, str]:
        """Names of classes by id; the id where there is no name."""
        pairs = zip(self.files.category_ids, self.files.category_names, strict=True)
        return {category_id: name or str(category_id) for category_id, name in pairs}

    @cached_property
    def counts(self) -> Counter[str]:
        """Objects of every class by name, those without one included."""
        counts = Counter(dict.fromkeys(self.names.values(), 0))
        counts.update(self.names[each.category_id] for each in self.objects)
        return counts


def examine(data: DataSet) -> Iterator[Finding]:
    """Look at a data set: what was recognised, its parts one by one and beside each other, and what to do next."""
    yield from _recognised(data)
    opened = []
    for name, part in (("train", data.train), ("val", data.val)) if data.is_split else (("all", data.val),):
        if name == "train" and data.kind == "COCO" and not (part.annotations.exists() and part.pictures.exists()):
            yield Finding(name=name, good=True, detail=f"{part.pictures.name} is not here: only training needs it")
            continue
        found = _open(data, name, part)
        if isinstance(found, Finding):
            yield found
        else:
            opened.append(found)
            yield from _of_part(found)
            told = {finding for before in opened[:-1] for finding in before.files.findings}
            yield from (_told(found.name, finding) for finding in found.files.findings if finding not in told)
    if data.lvis is not None:
        yield _lvis(data, data.lvis)
    if len(opened) > 1:
        yield from _between(*opened)
    yield from _next(data, opened)


def _recognised(data: DataSet) -> Iterator[Finding]:
    parts = "two parts" if data.is_split else "one part"
    yield Finding(name="data set", good=True, detail=f"{data.root}: {data.kind}, {parts}")
    for remark in data.remarks:
        yield Finding(name="", good=True, detail=remark)
    yield Finding(name="", good=True, detail=f"said otherwise, to change a part of it: {_options(data)}")


def _options(data: DataSet) -> str:
    """The parts of a data set on a command line."""
    said = [
        (f"--{name}-{what}", str(path))
        for name, part in (("train", data.train), ("val", data.val))
        for what, path in (("images", part.pictures), ("annotations", part.annotations))
    ]
    return shlex.join(word for pair in said for word in pair)


def _open(data: DataSet, name: str, part: Part) -> _Opened | Finding:
    label = f"COCO {part.pictures.name}" if data.kind == "COCO" else name
    try:
        return _Opened(name=label, part=part, files=open_images(part, parts=(data.train, data.val)))
    except ValueError as error:
        detail = str(error)
    remedy = "Repair what it says, then look again."
    if _lacks_masks_alone(part):
        remedy = "Draw the masks, or leave these objects out: --leave-out-maskless, in every command."
    elif _is_about_others(part):
        detail += f" None of its pictures lies in {part.pictures}: the annotations are of other pictures."
        remedy = f"Give the folder with the pictures of {part.annotations.name}, or the annotations of these pictures."
    elif data.kind == "COCO" and not _has_own_classes(part):
        remedy = f"Unpack {part.pictures.name}.zip and annotations_trainval2017.zip into {data.root}."
    return Finding(name=label, good=False, detail=detail, remedy=remedy)


def _lacks_masks_alone(part: Part) -> bool:
    try:
        open_images(replace(part, leave_out_maskless=True))
    except ValueError:
        return False
    return True


def _has_own_classes(part: Part) -> bool:
    try:
        return {each.id for each in read_annotations(part.annotations).categories} != set(COCO_CATEGORY_IDS)
    except ValueError:
        return False


def _is_about_others(part: Part) -> bool:
    """Whether there are pictures, and not one that the annotations name."""
    try:
        images = read_annotations(part.annotations).images
    except ValueError:
        return False
    there = {path.stem for path in pictures_below(part.pictures)}
    named = {Path(image.file_name.replace("\\", "/")).stem for image in images}
    numbered = {f"{image.id:012d}" for image in images}
    return bool(there and images) and not there & (named | numbered | {str(image.id) for image in images})


def _of_part(opened: _Opened) -> Iterator[Finding]:
    files, counts = opened.files, opened.counts
    empty = sum(not files.annotations.get(image_id) for image_id in files.ids)
    yield Finding(
        name=opened.name,
        good=True,
        detail=f"{opened.part.pictures}: all {len(files.ids)} images of the annotations are there"
        + (f", {empty} of them without an object" if empty else ""),
    )
    if not opened.objects:
        crowds = sum(bool(each.iscrowd) for each in read_annotations(opened.part.annotations).annotations)
        if crowds:
            detail = f"{crowds} annotations are crowds (iscrowd 1), which are neither trained on nor measured"
            remedy = "Set iscrowd to 0 for single objects, or export the annotations again."
        else:
            detail, remedy = "none is annotated", "Annotate objects with their masks, and export them again."
        yield _warning(opened.name, f"no object is left: {detail}", remedy)
        return
    detail = f"{len(opened.objects):,} objects of {len(counts)} class" + "es" * (len(counts) != 1)
    there = [(name, count) for name, count in counts.most_common() if count]
    if len(there) > 1:
        (most, highest), (least, lowest) = there[0], there[-1]
        detail += f": most of {most} ({highest:,}), fewest of {least} ({lowest:,})"
    yield Finding(name="", good=True, detail=detail)
    if len(there) < len(counts):
        absent = [name for name, count in counts.items() if not count]
        detail = f"{len(absent)} of the classes without an object: {_first(absent)}"
        yield Finding(name="", good=True, detail=detail)
    yield Finding(name="", good=True, detail=_sizes(opened))
    yield from _extremes(opened)


def _sides(opened: _Opened) -> np.ndarray:
    """Geometric mean of the sides of every object's box, in pixels."""
    boxes = np.array([each.bbox for each in opened.objects if each.bbox is not None], dtype=float).reshape(-1, 4)
    return np.sqrt(np.maximum(boxes[:, 2] * boxes[:, 3], 0))


def _sizes(opened: _Opened) -> str:
    heights, widths = zip(*(opened.files.sizes[image_id] for image_id in opened.files.ids), strict=True)
    sides = _sides(opened)
    shown = " / ".join(f"{side:.0f}" for side in np.percentile(sides, (0, 50, 100))) if len(sides) else "unknown"
    return (
        f"pictures of {min(heights)} to {max(heights)} x {min(widths)} to {max(widths)} pixels (height x width); "
        f"objects with sides of {shown} pixels (smallest / median / largest)"
    )


def _extremes(opened: _Opened) -> Iterator[Finding]:
    """What is unusual enough to change how a data set is trained on or measured."""
    files, name = opened.files, opened.name
    if len(opened.names) == 1:
        yield Finding(name="", good=True, detail="one class: every head works; AP is that of the class")
    if len(opened.names) > MANY_CLASSES:
        yield _warning(
            name,
            f"{len(opened.names)} classes: heads with a mask for each class compute as many for every object",
            "Choose the head effseg or the preset small_agnostic, which have one for all classes.",
        )
    cap = ScoringProtocol.cap
    dense = Counter((each.image_id, each.category_id) for each in opened.objects)
    beyond = sum(count - cap for count in dense.values() if count > cap)
    if beyond:
        yield _warning(
            name,
            f"{beyond} objects lie beyond the {cap} detections of a class in an image that COCO's AP counts: an image "
            f"has up to {max(dense.values())} objects of a class",
            "Compare heads with each other only, or evaluate with a larger cap.",
        )
    tiny = float((_sides(opened) < TINY_SIDE).mean())
    if tiny > 0.1:
        yield _warning(
            name,
            f"{tiny:.0%} of the objects have sides below {TINY_SIDE} pixels, two cells of the finest features",
            "Train with a larger input size, on views of a part of the picture.",
        )
    large = sum(max(files.sizes[image_id]) > LARGE_SIDE for image_id in files.ids)
    if large:
        yield _warning(
            name,
            f"{large} pictures have a side above {LARGE_SIDE} pixels: they are shrunk to the input size, and their "
            "objects with them",
            "Train on views of a part of the picture, or cut the pictures into tiles where objects get too small.",
        )
    small = [image_id for image_id in files.ids if min(files.sizes[image_id]) < SMALLEST_PICTURE]
    if small:
        yield _warning(
            name,
            f"{len(small)} pictures have a side below {SMALLEST_PICTURE} pixels, such as {files.paths[small[0]].name}",
            "Remove them from the annotations unless they are meant.",
        )


def _told(name: str, finding: findings.Finding) -> Finding:
    if finding.plain:
        return Finding(name="", good=True, detail=finding.sentence())
    return _warning(name, finding.sentence(), "Look at the examples, and repair what is not meant so.")


def _lvis(data: DataSet, lvis: Path) -> Finding:
    try:
        files = open_images(data.val, lvis=lvis)
    except ValueError as error:
        return Finding(name="LVIS", good=False, detail=str(error), remedy="Repair what it says, then look again.")
    return Finding(name="LVIS", good=True, detail=f"{lvis}: AP* and APB* on {len(files.ids)} images of both files")


def _between(train: _Opened, val: _Opened) -> Iterator[Finding]:
    shared = _shared(train.files, val.files)
    if shared:
        yield _warning(
            "train and val",
            f"{len(shared)} of the {len(val.files.ids)} pictures for validation are for training too (the same file or "
            f"content): {_first(path.name for path in shared)}. Heads would be measured on what they learnt",
            "Split the pictures again: run_bench.py prepare split.",
        )
    for one, other, what in (
        (val, train, "no head can learn them, and their AP is 0"),
        (train, val, "they are learnt and never measured"),
    ):
        names = [name for name, count in one.counts.items() if count and not other.counts[name]]
        if names:
            yield _warning(
                "classes",
                f"{len(names)} classes have objects in {one.name} and none in {other.name}: {_first(names)}; {what}",
                "Add pictures of them, or split the pictures again: run_bench.py prepare split.",
            )
    ids = {name: category_id for category_id, name in train.names.items()}
    renumbered = [name for category_id, name in val.names.items() if ids.get(name, category_id) != category_id]
    if renumbered:
        yield _warning(
            "classes",
            f"{len(renumbered)} classes have other ids in val than in train: {_first(renumbered)}; ids count",
            "Export both parts together, or give the classes the same ids in both files.",
        )


def _shared(train: CocoImages, val: CocoImages) -> list[Path]:
    """Pictures for validation that are for training too: the same file, or the same content."""
    by_size: dict[int, list[Path]] = {}
    for path in train.paths.values():
        by_size.setdefault(path.stat().st_size, []).append(path)
    contents: dict[int, set[str]] = {}
    shared = []
    for path in val.paths.values():
        size = path.stat().st_size
        if size in by_size:
            if size not in contents:
                contents[size] = {content_of(each) for each in by_size[size]}
            if content_of(path) in contents[size]:
                shared.append(path)
    return shared


def _next(data: DataSet, opened: list[_Opened]) -> Iterator[Finding]:
    named = _options(data) if data.kind == "named parts" else f"--data {shlex.quote(str(data.root))}"
    named += " --leave-out-maskless" * data.val.leave_out_maskless
    is_coco = bool(opened) and opened[-1].files.category_ids == COCO_CATEGORY_IDS
    whole = len(opened) == 1 + data.is_split or (is_coco and opened[-1].part == data.val)
    if not whole or not all(each.objects for each in opened):
        return
    if not data.is_split:
        yield _warning(
            "next",
            "one part for training and validation: heads would be measured on what they learnt",
            f"run_bench.py prepare split {named} --val 0.2 --seed 0",
        )
    elif is_coco:
        yield Finding(name="next", good=True, detail=f"run_bench.py run main {named} --weights weights")
    else:
        command = f"run_bench.py train own {named}, then run_bench.py run own {named} --weights weights"
        yield Finding(name="next", good=True, detail=command)


def _warning(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name=name, good=False, detail=detail, remedy=remedy, mark="look at")


def _first(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_MOST_NAMES]) + ", ..." * (len(found) > _MOST_NAMES)
