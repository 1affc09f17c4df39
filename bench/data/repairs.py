"""Annotation files as other tools write them, read as COCO's where that is unambiguous, else explained entry by entry.

Only files that do not fit the format come here: it is slow, and nothing here changes what a file that fits says.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from bench import json_file
from bench.data import image_ids
from bench.data.entries import MOST_PIXELS, Annotation, Category, Entries, ImageEntry
from bench.data.findings import Finding, Ledger

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


class _Loose(msgspec.Struct, frozen=True):
    images: list[dict[str, Any]]
    annotations: list[dict[str, msgspec.Raw]] | dict[str, dict[str, msgspec.Raw]] | UnsetType = UNSET
    categories: list[dict[str, Any]] | UnsetType = UNSET


def repaired(text: bytes, name: str) -> tuple[Entries, tuple[Finding, ...]]:
    """Read a file that does not fit the format, and say what of it was read as something else.

    Whole numbers may have a fraction of 0 or be text, flags may be numbers, text or nothing, image ids text, what
    nobody needs may be anything. Raises ValueError for what could mean several things, naming the first such entry,
    and msgspec.ValidationError for content that has no such entries.
    """
    loose = msgspec.json.decode(text, type=_Loose)
    reader = _Reader(name)
    images = tuple(reader.image(index, entry) for index, entry in enumerate(loose.images))
    annotations: tuple[Annotation[msgspec.Raw], ...] | UnsetType = UNSET
    if not isinstance(loose.annotations, UnsetType):
        listed = loose.annotations
        if isinstance(listed, dict):
            first = next(iter(listed), "none")
            reader.ledger.note(
                "annotations_by_id",
                "objects kept by id where a list belongs, read in their order",
                first,
                count=len(listed),
            )
            listed = list(listed.values())
        annotations = tuple(reader.annotation(index, entry) for index, entry in enumerate(listed))
    categories: tuple[Category, ...] | UnsetType = UNSET
    if not isinstance(loose.categories, UnsetType):
        categories = tuple(reader.category(index, entry) for index, entry in enumerate(loose.categories))
    return Entries(images=images, annotations=annotations, categories=categories), reader.ledger.findings


class _Reader:
    """Turns entries of one file into typed ones, counting what it reads as something else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ledger = Ledger()

    def image(self, index: int, entry: dict[str, Any]) -> ImageEntry:
        where = f"image {entry.get('id', index)}"
        value = _Fields(entry, f"$.images[{index}]", lambda problem: self._misfit("", problem), self.ledger, where)
        return ImageEntry(
            id=value.image_id("id"),
            height=value.whole("height", 1, MOST_PIXELS),
            width=value.whole("width", 1, MOST_PIXELS),
            file_name=value.text("file_name"),
            coco_url=value.text("coco_url"),
            **{name: value.ids(name) for name in _LISTS if name in entry},
        )

    def annotation(self, index: int, raw: dict[str, msgspec.Raw]) -> Annotation[msgspec.Raw]:
        entry = {field: msgspec.json.decode(content) for field, content in raw.items() if field != "segmentation"}
        where = json_file.place("annotation", index, entry.get("image_id", "unknown"))
        place = f"$.annotations[{index}]"
        value = _Fields(entry, place, lambda problem: self._misfit(where, problem), self.ledger, where)
        own = entry.get("id")
        return Annotation(
            image_id=value.image_id("image_id"),
            category_id=value.whole("category_id"),
            segmentation=raw.get("segmentation", msgspec.Raw(b"null")),
            id=own if isinstance(own, int | float | str) else None,
            area=value.number_or_none("area"),
            bbox=value.box("bbox"),
            iscrowd=value.flag("iscrowd"),
            ignore=value.flag("ignore"),
        )

    def category(self, index: int, entry: dict[str, Any]) -> Category:
        where = f"category {entry.get('id', index)}"
        value = _Fields(entry, f"$.categories[{index}]", lambda problem: self._misfit("", problem), self.ledger, where)
        return Category(
            id=value.whole("id"),
            name=value.text("name"),
            frequency=value.text("frequency"),
            synset=value.text("synset"),
        )

    def _misfit(self, where: str, problem: str) -> ValueError:
        return ValueError(json_file.misfit(self.name, "annotation", problem, where))


class _Fields:
    """The fields of one entry. `place` is that of the entry in the file, `where` what the findings call it."""

    def __init__(
        self,
        entry: dict[str, Any],
        place: str,
        misfit: Callable[[str], ValueError],
        ledger: Ledger,
        where: str,
    ) -> None:
        self._entry, self._place, self._misfit, self._ledger, self._where = entry, place, misfit, ledger, where

    def image_id(self, field: str) -> int:
        found = self._present(field)
        if isinstance(found, str):
            made = image_ids.number(found)
            if image_ids.original(made) != found:
                self._note_text()
            return made
        return self._whole(field, found, -(2**63), 2**63 - 1)

    def whole(self, field: str, least: int = -(2**63), most: int = 2**63 - 1) -> int:
        return self._whole(field, self._present(field), least, most)

    def number_or_none(self, field: str) -> float | None:
        found = self._entry.get(field)
        return None if found is None else float(self._number(field, found))

    def box(self, field: str) -> tuple[float, float, float, float] | None:
        found = self._entry.get(field)
        if found is None or found == []:
            return None
        if not isinstance(found, list) or len(found) != 4:
            got = f"{len(found)} of them" if isinstance(found, list) else _kind(found)
            raise self._wrong(field, f"Expected a list of 4 numbers, got {got}")
        left, top, width, height = (float(self._number(f"{field}[{index}]", each)) for index, each in enumerate(found))
        return (left, top, width, height)

    def flag(self, field: str) -> int:
        found = self._entry.get(field)
        if found is None or isinstance(found, bool):
            return int(found or 0)
        if isinstance(found, str) and found.strip().lower() in ("true", "false"):
            self._note_text()
            return int(found.strip().lower() == "true")
        return int(self._number(field, found) != 0)

    def ids(self, field: str) -> tuple[int, ...] | UnsetType:
        found = self._entry[field]
        if not isinstance(found, list):
            raise self._wrong(field, f"Expected a list of category ids, got {_kind(found)}")
        return tuple(self._whole(f"{field}[{index}]", each, -(2**63), 2**63 - 1) for index, each in enumerate(found))

    def text(self, field: str) -> str:
        """Text that nobody calculates with; numbers are what they look like, anything else is nothing."""
        found = self._entry.get(field)
        return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""

    def _present(self, field: str) -> Any:
        if field not in self._entry:
            raise self._misfit(f"Object missing required field `{field}` - at `{self._place}`")
        return self._entry[field]

    def _whole(self, field: str, found: object, least: int, most: int) -> int:
        value = self._number(field, found)
        if value != int(value):
            raise self._wrong(field, f"Expected a whole number, got {value}")
        if not least <= value <= most:
            bound = f">= {least}" if value < least else f"<= {most}"
            raise self._wrong(field, f"Expected a whole number {bound}, got {int(value)}")
        return int(value)

    def _number(self, field: str, found: object) -> int | float:
        if isinstance(found, int | float) and not isinstance(found, bool):
            return found
        if isinstance(found, str):
            if not _NUMBER.fullmatch(found):
                raise self._wrong(field, f"Expected a number, got the text {found[:40]!r} where a number belongs")
            self._note_text()
            return int(found) if found.strip().lstrip("+-").isdigit() else float(found)
        raise self._wrong(field, f"Expected a number, got {_kind(found)}")

    def _wrong(self, field: str, problem: str) -> ValueError:
        return self._misfit(f"{problem} - at `{self._place}.{field}`")

    def _note_text(self) -> None:
        self._ledger.note("numbers_as_text", "numbers written as text, read as numbers", self._where)


def _kind(value: object) -> str:
    """What JSON calls it."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
