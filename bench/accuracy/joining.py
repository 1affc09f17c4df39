"""Which image and class of the annotation files a result is about: by ids, or by names where these are what fits."""

import logging
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int64

from bench.accuracy.results_file import ResultsFile
from bench.data.ground_truth import GroundTruth
from bench.data.image_ids import Id, number, original

_log = logging.getLogger(__name__)

_WHOLE = re.compile(r"-?[0-9]+")

NO_CLASS = 0
"""Stands for the class of results that have none, or an unknown one, where classes do not matter."""


class ImageNames:
    """The file names of the images that annotation files list, and what a name elsewhere means."""

    def __init__(self, truths: Sequence[GroundTruth]) -> None:
        self._name = {
            image_id: name
            for truth in reversed(truths)
            for image_id, name in zip(truth.image_ids.tolist(), truth.file_names, strict=False)
            if name
        }

    def __len__(self) -> int:
        return len(self._name)

    def of(self, image_id: int) -> str:
        """An image's file name, "" where it has none."""
        return self._name.get(image_id, "")

    def find(self, name: str) -> int | None:
        """The one image whose file a name may mean: the whole path, its end, or these without the ending.

        A number also means the file whose name is that number, with zeros before it or without. None where there is no
        such file, or several.
        """
        for keys in (_ends(name), _ends(_stem(name)), [_as_number(name)]):
            for key in keys:
                if key in self._by_key:
                    return self._by_key[key]
        return None

    def contradicts(self, image_id: int, name: str) -> bool:
        """Whether a result that says this file name is about another image than the one of its id."""
        found = self.find(name)
        if found is not None:
            return found != image_id
        ours, theirs = (_stem(each).rpartition("/")[2] for each in (self.of(image_id), name))
        return bool(ours) and not (_is_end(ours, theirs) or _is_end(theirs, ours))

    @property
    def numbered(self) -> dict[int, int]:
        """Images by the number that their file name is."""
        numbers = ((_as_number(name), image_id) for image_id, name in self._name.items())
        return {int(key[1:]): image_id for key, image_id in numbers if key}

    @cached_property
    def _by_key(self) -> dict[str, int | None]:
        """Images by the ends of their paths, with and without the ending; None where several have one."""
        found: dict[str, int | None] = {}
        for image_id, name in self._name.items():
            for key in {*_ends(name), *_ends(_stem(name)), _as_number(name)} - {""}:
                found[key] = image_id if found.get(key, image_id) == image_id else None
        return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _stem(name: str) -> str:
    """A path without its ending, which is of at most five letters, so that "scan.2024-01-02" keeps its name."""
    stem, dot, ending = _plain(name).rpartition(".")
    return stem if dot and stem and "/" not in ending and ending.isalnum() and len(ending) <= 5 else _plain(name)


def _ends(name: str) -> list[str]:
    """A path and its ends, longest first."""
    parts = [part for part in PurePosixPath(_plain(name)).parts if part != "/"]
    return ["/".join(parts[begin:]) for begin in range(len(parts))]


def _as_number(name: str) -> str:
    """A key for files whose name is a number, whatever its zeros; "" for others."""
    stem = _stem(name).rpartition("/")[2]
    return f"#{int(stem)}" if stem.isascii() and stem.isdigit() else ""


def _is_end(name: str, end: str) -> bool:
    """Whether a name is another one with something before it, as COCO's of 2014: COCO_val2014_000000000139."""
    return name == end or (name.endswith(end) and not name[-len(end) - 1].isalnum())


def image_ids(
    given: Sequence[Id | float],
    truths: Sequence[GroundTruth],
    *,
    name: str,
    file_names: Sequence[str | None] = (),
) -> Int64[np.ndarray, "D"]:
    """The image of every result as the annotation files number it; an id that no file knows stays what it is.

    Ids count. Only where they do not fit and every name does, names count instead, and a warning says so: the
    `file_names` of the results, where all have one, or else ids that are names of files. Ids are whole numbers or text;
    `name` is that of the results. Raises ValueError where file names contradict the ids and are not all known.
    """
    # Distinct values first: a file has far more results than images.
    different = {value: number(value) for value in dict.fromkeys(given)}
    ids = np.fromiter((different[value] for value in given), np.int64, len(given))
    listed = {image_id for truth in truths for image_id in truth.image_ids.tolist()}
    names = ImageNames(truths)
    if len(given) == 0 or len(names) == 0:
        return ids
    if file_names and all(file_names):
        return _by_file_names(ids, [each or "" for each in file_names], names, listed, name)
    unknown = [value for value, image_id in different.items() if image_id not in listed]
    if not unknown:
        _warn_of_numbers(different.values(), names, name)
        return ids
    found = {value: names.find(str(value)) for value in different}
    if any(each is None for each in found.values()) and (len(unknown) < len(different) or not any(found.values())):
        return ids
    first = unknown[0]
    meant = [image_id for image_id in (found[value] for value in different) if image_id is not None]
    _log.warning(
        "%s: image ids such as %s are no ids of the annotations; %d of %d are names of files and stand for these.",
        name,
        first,
        len(meant),
        len(different),
    )
    return np.array([different[value] if found[value] is None else found[value] for value in given], np.int64)


def _by_file_names(
    ids: Int64[np.ndarray, "D"], file_names: Sequence[str], names: ImageNames, listed: set[int], name: str
) -> Int64[np.ndarray, "D"]:
    pairs = dict.fromkeys(zip(ids.tolist(), file_names, strict=True))
    against = [(image_id, file) for image_id, file in pairs if image_id in listed and names.contradicts(image_id, file)]
    if not against and all(image_id in listed for image_id, _ in pairs):
        return ids
    found = {file: names.find(file) for _, file in pairs}
    shown = ""
    if against:
        image_id, file = against[0]
        shown = f"image {original(image_id)} is {file} there and {names.of(image_id)} in the annotations"
    if all(each is not None for each in found.values()):
        _log.warning(
            "%s: the results are joined by file_name, since %s.",
            name,
            f"their ids contradict it on {len(against)} of {len(pairs)} images: {shown}"
            if against
            else "the annotations do not list their ids",
        )
        return np.array([found[file] for file in file_names], np.int64)
    if against:
        lost = next(file for file, image_id in found.items() if image_id is None)
        raise ValueError(
            f"{name} has ids that contradict its file names on {len(against)} of {len(pairs)} images: {shown}; "
            f"expected the same file by both, or by file_name alone, but the annotations list no one file {lost}; "
            "write the ids of the annotations into the results."
        )
    return ids


def _warn_of_numbers(ids: Collection[int], names: ImageNames, name: str) -> None:
    """Ids that are all numbers of files, and of other files than those with the ids, may be meant as either."""
    numbered = names.numbered
    other = next((image_id for image_id in ids if numbered.get(image_id, image_id) != image_id), None)
    if other is None or any(image_id not in numbered for image_id in ids):
        return
    _log.warning(
        "%s: its image ids are ids of the annotations, and are read as such, but numbers of other files too: id %d is "
        "%s. If they are meant as numbers of files, write a file_name into every result.",
        name,
        other,
        names.of(other),
    )


def category_ids(
    file: ResultsFile, truths: Sequence[GroundTruth], *, class_agnostic: bool = False
) -> Int64[np.ndarray, "D"]:
    """The class of every result as the annotation files number it; an id that no file knows stays what it is.

    Text is a number, or the name of a class where every one is. Where the results list classes under the same ids and
    other names, the names count, and a warning says so. With `class_agnostic` a class is not needed and `NO_CLASS`
    stands for those that mean nothing. Raises ValueError for text that is no class or means two, results without a
    class, numbers that are not whole, and names of classes that contradict ids and are not all known.
    """
    given = [each.category_id for each in file.results]
    different = dict.fromkeys(given)
    listed = {category for truth in truths for category in truth.category_ids.tolist()}
    by_name = _by_name(truths)
    meaning: dict[Id | float | None, int] = {}
    for value in different:
        if class_agnostic:
            meaning[value] = _loosely(value, listed, by_name)
            continue
        meant = _meanings(value, listed, by_name)
        if len(meant) != 1:
            problem = _no_category(value, by_name, len(meant))
            raise ValueError(f"{file.place(given.index(value))} {problem}")
        (meaning[value],) = meant
    if any(isinstance(value, str) and not _WHOLE.fullmatch(value) for value in different) and not class_agnostic:
        _log.warning("%s: classes are given by name, and stand for the ids of the annotations.", file.name)
    if file.categories and not class_agnostic:
        meaning = _renamed(file, meaning, truths, by_name)
    return np.fromiter((meaning[value] for value in given), np.int64, len(given))


def _folded(name: str) -> str:
    return name.strip().casefold()


def _by_name(truths: Sequence[GroundTruth]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for truth in truths:
        for category, name in zip(truth.category_ids.tolist(), truth.category_names, strict=True):
            if name:
                found.setdefault(name, set()).add(category)
    return found


def _meanings(value: Id | float | None, listed: set[int], by_name: Mapping[str, set[int]]) -> set[int]:
    """Which classes a category_id may mean; a whole number means itself."""
    if isinstance(value, str):
        written = {int(value)} & listed if _WHOLE.fullmatch(value) else set()
        return written | by_name.get(value, set())
    return {int(value)} if isinstance(value, int) or (value is not None and _is_whole(value)) else set()


def _loosely(value: Id | float | None, listed: set[int], by_name: Mapping[str, set[int]]) -> int:
    meant = _meanings(value, listed, by_name) & listed
    return min(meant, default=NO_CLASS)


def _is_whole(value: float) -> bool:
    return value.is_integer() and abs(value) < 2**53


def _no_category(value: Id | float | None, by_name: Mapping[str, set[int]], num_meanings: int) -> str:
    """What is wrong with a category_id that does not mean one class."""
    if value is None:
        return (
            "has no category_id; expected the class of every mask, as the annotations number it; write it into the "
            "file, or say `class_agnostic`: masks are then compared whatever their class."
        )
    if isinstance(value, str):
        names = ", ".join(list(by_name)[:3]) or "none"
        several = " can mean more than one class" if num_meanings else " is no class of the annotations"
        return (
            f"has text where a number belongs: its category_id {value!r}{several}; expected the id of a class, or for "
            f"all results names that the annotations have ({names}, ...); write the ids."
        )
    return f"has category id {value}; expected a whole number; repair or remove it."


def _renamed(
    file: ResultsFile,
    meaning: dict[Id | float | None, int],
    truths: Sequence[GroundTruth],
    by_name: Mapping[str, set[int]],
) -> dict[Id | float | None, int]:
    """Join by the names of classes, where the results' own list of them contradicts that of the annotations."""
    ours = {category: name for name, found in by_name.items() for category in found}
    against = [
        category
        for category in meaning.values()
        if category in file.categories
        and _folded(ours.get(category, file.categories[category])) != _folded(file.categories[category])
    ]
    unknown = [category for category in meaning.values() if category not in ours and category in file.categories]
    if not against and not unknown:
        return meaning
    found = {category: by_name.get(file.categories.get(category, ""), set()) for category in meaning.values()}
    if all(len(each) == 1 for each in found.values()):
        _log.warning(
            "%s: classes are joined by name, since its ids of %d of %d are others than those of the annotations.",
            file.name,
            len({*against, *unknown}),
            len(found),
        )
        return {value: min(found[category]) for value, category in meaning.items()}
    if against:
        category = against[0]
        raise ValueError(
            f"{file.name} calls category {category} {file.categories[category]!r}, {truths[0].name} calls it "
            f"{ours[category]!r}; expected the same classes under the same ids, or names that are all known; "
            "write the ids of the annotations into the results."
        )
    return meaning
