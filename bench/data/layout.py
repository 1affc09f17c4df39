"""Data sets in folders: where pictures and annotation files of training and validation lie. Imports no torch.

Annotation tools agree on COCO's format and on no layout. A folder is recognised by the names in it; where they do not
tell, by how its JSON files begin.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.data import foreign_formats
from bench.data.annotation_files import Found, known, lvis, part_of, plain
from bench.data.folders import ARCHIVES, Folder, file_names, holds_pictures, open_folder


@dataclass(frozen=True, kw_only=True)
class Part:
    """The pictures of a split, somewhere below a folder, and the annotation file about them.

    With `leave_out_maskless` objects that have only a box are as if they were not there; otherwise they are an error.
    """

    pictures: Path
    annotations: Path
    leave_out_maskless: bool = False


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set. `kind` says whose layout it has; `train` and `val` are the same part where there is only one.

    `lvis` is the annotation file of AP* and APB*, where the layout has one. `remarks` are sentences on what was chosen
    where there was a choice.
    """

    root: Path
    kind: str
    train: Part
    val: Part
    lvis: Path | None = None
    remarks: tuple[str, ...] = ()

    @property
    def is_split(self) -> bool:
        """Whether there is more than one part."""
        return self.train != self.val


def coco_layout(root: Path) -> DataSet:
    """The parts of COCO's own layout, whether they are there or not."""
    return DataSet(root=root, kind="COCO", train=_coco_part(root, "train2017"), val=_coco_part(root, "val2017"))


def _coco_part(root: Path, split: str) -> Part:
    return Part(pictures=root / split, annotations=root / "annotations" / f"instances_{split}.json")


OTHERWISE = (
    "the pictures and the annotation file of each part: run_bench.py doctor --train-images DIR "
    "--train-annotations FILE --val-images DIR --val-annotations FILE, or in Python bench.data.layout.DataSet"
)
"""What to name where a layout is not recognised, or not as it is meant."""

_PICTURES = ("images", "image", "imgs", "img", "data", "jpegimages", "pictures", "photos", "frames")


def recognise(root: Path | str) -> DataSet:
    """Find the parts of a data set by what lies in its folder, or in the only sub-folder that is one.

    Raises ValueError for a folder that cannot be read or is no data set, one in another format than COCO's, and one
    that could be read in several ways.
    """
    root = Path(root)
    folder = open_folder(root)
    here = _recognise_here(folder)
    if here is not None:
        return _unless_too_low(here)
    inside = list(_inside(folder))
    if len(inside) > 1:
        names = ", ".join(str(each.root) for each in inside[:6]) + ", ..." * (len(inside) > 6)
        raise ValueError(f"{root} holds {len(inside)} data sets: {names}; expected one; give the folder of one.")
    if inside:
        return replace(inside[0], remarks=(*inside[0].remarks, f"{root} itself is none; {inside[0].root} in it is."))
    above = _above(root)
    if above is not None:
        raise ValueError(
            f"{root} is a part of the data set {above.root} ({above.kind}); expected the folder that has pictures and "
            f"annotation files; give {above.root}."
        )
    remedy = foreign_formats.explain(root)
    if remedy:
        raise ValueError(remedy)
    raise ValueError(_nothing(folder))


def _nothing(folder: Folder) -> str:
    """Say what a folder has where it is no data set."""
    if not folder.folders and not folder.files:
        has = "is empty"
    elif archives := [name for name in folder.files if name.lower().endswith(ARCHIVES)]:
        has = f"has no annotation file, but archives, which must be unpacked first ({', '.join(archives[:3])}),"
    elif folder.json_files:
        names = ", ".join(path.name for path in folder.json_files[:3])
        has = f"has JSON, but none with lists of images and annotations ({names})"
    else:
        has = f"has {'pictures' if holds_pictures(folder.path) else 'no pictures'} and no annotation file"
    return (
        f"The folder {folder.path} {has}; expected pictures and an annotation file in COCO's format, as Roboflow, "
        f"CVAT, Label Studio, COCO Annotator and others export it; give that folder, or name {OTHERWISE}."
    )


def _inside(folder: Folder) -> Iterator[DataSet]:
    for below in folder.folders:
        try:
            found = _recognise_here(Folder(below))
        except ValueError:  # several ways to read it, or none: not the one that is meant
            continue
        if found is not None:
            yield found


def _above(root: Path) -> DataSet | None:
    """The data set that the folder above is, where it is one with pictures."""
    try:
        found = _recognise_here(Folder(root.absolute().parent))
    except ValueError:
        return None
    return found if found is not None and holds_pictures(found.val.pictures) else None


def _unless_too_low(found: DataSet) -> DataSet:
    """Raise ValueError for a folder of annotation files alone, whose pictures lie beside it."""
    if holds_pictures(found.root):
        return found
    above = _above(found.root)
    if above is not None and {found.train.annotations.name, found.val.annotations.name} & {
        above.train.annotations.name, above.val.annotations.name
    }:  # fmt: skip
        raise ValueError(
            f"{found.root} has annotation files and no picture; expected the folder that has both; give {above.root}."
        )
    return found


def _recognise_here(folder: Folder) -> DataSet | None:
    if SPLIT_FILE in folder.files:
        return _read_split(folder.path / SPLIT_FILE)
    found, of_lvis = known(folder), lvis(folder)
    if len({each.kind for each in found}) > 1:
        raise ValueError(_several(folder.path, [each.path for each in found]))
    found = found or of_lvis or plain(folder)
    if not found:
        return None
    root = folder.path
    train, val, remarks = _choose(root, found)
    of_stars = [each.path for each in of_lvis if each.part == "val"]
    if len(of_stars) > 1:
        names = " and ".join(path.name for path in of_stars)
        remarks += (f"{names}: none is used for AP* unless it is named.",)
    if train == val:
        splits = [path for path in folder.folders if (path / SPLIT_FILE).is_file()]
        remarks += tuple(f"{path} has it in two parts: it can be given instead." for path in splits)
    return DataSet(
        root=root,
        kind=val.kind,
        train=Part(pictures=_pictures(root, train), annotations=train.path),
        val=Part(pictures=_pictures(root, val), annotations=val.path),
        lvis=of_stars[0] if len(of_stars) == 1 else None,
        remarks=remarks,
    )


class SplitPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part in `SplitFile`."""

    pictures: str
    annotations: str


class SplitFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `SPLIT_FILE` holds: a data set whose parts were made of one. Paths count from its folder.

    `made_from` is the annotation file that was split with its checksum, `made_by` how.
    """

    kind: str
    train: SplitPart
    val: SplitPart
    made_from: dict[str, str] = {}
    made_by: dict[str, float | int] = {}


SPLIT_FILE = "data_set.json"


def _read_split(path: Path) -> DataSet:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=SplitFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(
            f"{path} cannot be read as the parts of a data set: {error}; expected what `prepare split` writes; "
            "make it again, or give the folder of the whole data set."
        ) from error
    parts = [
        Part(pictures=_joined(path, part.pictures), annotations=_joined(path, part.annotations))
        for part in (found.train, found.val)
    ]
    for there in (each for part in parts for each in (part.pictures, part.annotations)):
        if not there.exists():
            raise ValueError(
                f"{path} names {there}, which is not there; expected pictures and annotation files where they were "
                "when the data set was split; restore the place, or split it again: run_bench.py prepare split."
            )
    return DataSet(root=path.parent, kind=found.kind, train=parts[0], val=parts[1])


def _joined(path: Path, named: str) -> Path:
    return Path(os.path.normpath(path.parent / named))


def _choose(root: Path, found: Sequence[Found]) -> tuple[Found, Found, tuple[str, ...]]:
    """The files of training and validation among those found."""
    of = {part: [each for each in found if each.part == part] for part in ("train", "val", "test", "")}
    for part, files in of.items():
        not_needed = of["train"] and (of["val"] or (of["test"] and not part))
        if len(files) > 1 and not (not_needed and part in ("test", "")):
            with_pictures = [each for each in files if part and _has_folder(root, each.word)]
            if len(with_pictures) != 1:
                raise ValueError(_several(root, [each.path for each in files]))
            of[part] = with_pictures
    parts = [part for part in ("train", "val", "test") if of[part]]
    if not parts or (of[""] and len(parts) == 1):
        (whole, *others) = [*of[""], *(of[part][0] for part in parts)]
        if others:
            raise ValueError(_several(root, [whole.path, *(each.path for each in others)]))
        return whole, whole, ()
    train = of[parts[0]][0]
    val = next((of[part][0] for part in ("val", "test") if of[part]), train)
    chosen = {train.path, val.path}
    left_out = [each.path for files in of.values() for each in files if each.path not in chosen]
    remarks = [f"{path} is left out." for path in left_out]
    if parts == ["train", "test"]:
        remarks.insert(0, "There is no part for validation: the one for testing is taken.")
    return train, val, tuple(remarks)


def _has_folder(root: Path, word: str) -> bool:
    return (root / word).is_dir() or (root / "images" / word).is_dir()


def _several(root: Path, paths: Sequence[Path]) -> str:
    names = ", ".join(str(path.relative_to(root)) for path in paths[:6])
    return (
        f"{root} can be read in several ways: {names}{', ...' * (len(paths) > 6)}; expected one annotation file for "
        f"each part; name {OTHERWISE}."
    )


def _pictures(root: Path, found: Found) -> Path:
    """The most specific folder below which the pictures of a file are, or where they would be."""
    candidates = {}
    names = [name.replace("\\", "/") for name in file_names(found.path)]
    for candidate in _places_of_pictures(root, found):
        if candidate not in candidates and any(_is_file(candidate / name) for name in names):
            return candidate
        candidates[candidate] = True
    for candidate in candidates:
        if holds_pictures(candidate):
            return candidate
    return root / found.word if re.search(r"\d", found.word) else root


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long for a file, or no text for one
        return False


def _places_of_pictures(root: Path, found: Found) -> Iterator[Path]:
    beside = found.path.parent
    if found.kind == "Roboflow":
        yield beside
    above = [beside.parent] if beside != root else []
    own: Callable[[str], bool] = found.word.lower().__eq__
    alike: Callable[[str], bool] = lambda name: bool(found.part) and part_of(name)[0] == found.part  # noqa: E731
    for base in dict.fromkeys((beside, *above, root)):
        if found.word:
            for test in (own, alike):
                for split in _named(base, test):
                    yield from _named(split, _PICTURES.__contains__)
                    yield split
                for folder in _named(base, _PICTURES.__contains__):
                    yield from _named(folder, test)
        yield from _named(base, _PICTURES.__contains__)
        if Folder(base).has_pictures:
            yield base
    others = [path for path in Folder(root).folders if part_of(path.name)[0] in ("", found.part)]
    if len(with_pictures := [path for path in others if holds_pictures(path)]) == 1:
        yield with_pictures[0]
    if with_pictures or not found.part:
        yield root


def _named(base: Path, test: Callable[[str], bool]) -> list[Path]:
    """Sub-folders whose names pass a test, which is of small letters."""
    try:
        return [path for path in Folder(base).folders if test(path.name.lower())]
    except ValueError:
        return []
