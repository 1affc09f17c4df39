"""The entries of a results file in COCO's format, decoded fast; what other tools write is read where it is plain.

Read too, and said so in a warning, are results one a line, by image, in a data set with scores, or below a name;
numbers as text; and segmentations in the shapes that `bench.data.segmentation.normal_segmentation` knows.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NoReturn

import msgspec

from bench import json_file
from bench.data.findings import Ledger
from bench.data.image_ids import Id, number, original
from bench.data.segmentation import Segmentation, normal_segmentation

WholeId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# Some libraries write all numbers as floating point, others ids as text.
_AnyId = WholeId | float | str

_log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True, gc=False):
    """A predicted object as the file has it; `file_name` is that of its image, where the file says so."""

    image_id: _AnyId
    score: float
    category_id: _AnyId | None = None
    segmentation: Segmentation | None = None
    bbox: tuple[float, float, float, float] | None = None
    file_name: str | None = None


_DECODER = msgspec.json.Decoder(list[Result])


@dataclass(frozen=True, kw_only=True)
class ResultsFile:
    """The results of a file in its order. `categories` are the names of its classes, where the file lists them."""

    name: str
    results: Sequence[Result]
    categories: Mapping[int, str] = field(default_factory=dict)

    def place(self, index: int) -> str:
        """Name a result as all messages do."""
        return f"{self.name}: {json_file.place('result', index, shown(self.results[index].image_id))}"


def shown(image_id: object) -> object:
    """An image's id as its file has it."""
    return original(image_id) if isinstance(image_id, int) else image_id


def read_results(content: bytes, name: str) -> ResultsFile:
    """Decode a results file's content; `name` is what messages call it.

    Raises ValueError for content that is no such file, and for entries that have no one meaning, by their place.
    """
    plain = json_file.text(content, name)
    try:
        results = _DECODER.decode(plain)
    except (msgspec.DecodeError, RecursionError) as error:
        return _Reader(name).read(plain, error)
    odd = [index for index, each in enumerate(results) if _looks_like_pairs(each.segmentation)]
    if odd:
        reader = _Reader(name)
        for index in odd:
            results[index] = reader.repaired(results[index], index)
        reader.tell()
    return ResultsFile(name=name, results=results)


def _looks_like_pairs(segmentation: Segmentation | None) -> bool:
    """Whether polygons are rather the points of one: three or more of one point each."""
    return type(segmentation) is list and len(segmentation) > 2 and all(len(each) == 2 for each in segmentation)


class _Reader:
    """Reads what does not fit the format, entry by entry, and counts what it takes for something else."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ledger = Ledger()

    def read(self, plain: bytes, error: Exception) -> ResultsFile:
        """Read a file whose decoding failed with this error. Raises ValueError as `read_results`."""
        document = self._document(plain)
        if document is None:
            raise ValueError(json_file.explain(plain, self._name, "result", error)) from error
        entries = self._entries(document)
        problem = json_file.not_finite(entries, self._name, "result")
        if problem is not None:
            raise ValueError(problem)
        results = [self._result(entry, index) for index, entry in enumerate(entries)]
        self.tell()
        listed = document.get("categories") if isinstance(document, dict) else None
        return ResultsFile(name=self._name, results=results, categories=_category_names(listed))

    def repaired(self, result: Result, index: int) -> Result:
        """A result whose segmentation has another shape than COCO's."""
        segmentation = self._segmentation(result.segmentation, self._place(index, result.image_id))
        return msgspec.structs.replace(result, segmentation=segmentation)

    def tell(self) -> None:
        """Warn of what was repaired, once for every kind."""
        for finding in self._ledger.findings:
            _log.warning("%s: %s.", self._name, finding.sentence())

    def _place(self, index: int, image_id: object) -> str:
        return json_file.place("result", index, image_id)

    def _document(self, plain: bytes) -> object:
        """The file as Python's json reads it, or its lines; None where it is neither."""
        try:
            return json.loads(plain)
        except (ValueError, RecursionError):
            pass
        num_lines = json_file.num_lines(plain)
        if num_lines == 0:
            return None
        _log.warning("%s: %d results, one on every line (JSON Lines), are read as a list.", self._name, num_lines)
        return [json.loads(line) for line in plain.splitlines() if line.strip()]

    def _entries(self, document: object) -> list[object]:
        """The results of a document. Raises ValueError for one that holds none."""
        if isinstance(document, list):
            if document and all(isinstance(each, list) for each in document):
                _log.warning("%s: %d lists of results are read as one.", self._name, len(document))
                return [entry for each in document for entry in each]
            return document
        if not isinstance(document, dict):
            self._refuse(f"is {json.dumps(document)[:20]}")
        if "image_id" in document and "score" in document:
            return self._columns(document) or [document]
        if "annotations" in document:
            return self._of_data_set(document)
        return self._below_names(document)

    def _columns(self, document: Mapping[str, object]) -> list[object]:
        """Results as columns, a list for every field (a table of pandas); nothing where they are no such thing."""
        columns = [each for each in document.values() if isinstance(each, list)]
        if len(columns) < len(document) or len({len(column) for column in columns}) > 1:
            return []
        _log.warning("%s: %d results are read from columns.", self._name, len(columns[0]))
        return [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]

    def _of_data_set(self, document: Mapping[str, object]) -> list[object]:
        """The annotations of a data set as results, if every one has a score."""
        found = document["annotations"]
        entries = [*found.values()] if isinstance(found, dict) else found
        if not isinstance(entries, list) or not entries:
            self._refuse("is a data set without annotations")
        unscored = [index for index, each in enumerate(entries) if not (isinstance(each, dict) and "score" in each)]
        if len(unscored) == len(entries):
            self._refuse(f"is an annotation file: none of its {len(entries)} annotations has a score")
        if unscored:
            image = entries[unscored[0]].get("image_id") if isinstance(entries[unscored[0]], dict) else "unknown"
            raise ValueError(
                f"{self._name} is a data set, and {len(unscored)} of its {len(entries)} annotations have no score, "
                f"first {json_file.place('annotation', unscored[0], image)}; expected predictions, which all have one; "
                "write the score into each, or remove those without."
            )
        _log.warning("%s: a data set, whose %d annotations with scores are the results.", self._name, len(entries))
        names = _file_names(document.get("images"))
        return [
            each if "file_name" in each else {**each, "file_name": names.get(_number_or_none(each.get("image_id")))}
            for each in entries
        ]

    def _below_names(self, document: Mapping[str, object]) -> list[object]:
        """Results below one name, or below the id of each image."""
        lists = {key: value for key, value in document.items() if isinstance(value, list) and _is_results(value)}
        if len(lists) == 1:
            ((key, entries),) = lists.items()
            if all(isinstance(each, dict) and "image_id" in each for each in entries):
                _log.warning('%s: %d results are read from below "%s".', self._name, len(entries), key)
                return entries
        values = [*document.values()]
        if lists and all(isinstance(each, list) and (not each or _is_results(each)) for each in values):
            _log.warning("%s: the results of %d images are read from below their ids.", self._name, len(document))
            return [{"image_id": key, **each} for key, entries in lists.items() for each in entries]
        if {"images", "categories"} & document.keys():
            self._refuse("is an annotation file without annotations")
        names = ", ".join(list(document)[:4]) or "nothing"
        self._refuse(f"is a JSON object with {names}")

    def _refuse(self, problem: str) -> NoReturn:
        raise ValueError(
            f"{self._name} {problem}; expected a results file: a list of image_id, category_id, segmentation and "
            "score; give the predictions."
        )

    def _result(self, entry: object, index: int) -> Result:
        """Take one entry, with text made numbers. Raises ValueError for one that does not fit."""
        fields = dict(entry) if isinstance(entry, dict) else {}
        place = self._place(index, fields.get("image_id", "unknown"))
        if isinstance(fields.get("score"), str):
            fields["score"] = self._number(fields["score"], "score", place)
        box = fields.get("bbox")
        if isinstance(box, list) and any(isinstance(each, str) for each in box):
            fields["bbox"] = [self._number(each, "bbox", place) if isinstance(each, str) else each for each in box]
        if not isinstance(fields.get("file_name"), str):
            fields.pop("file_name", None)
        if "image_id" not in fields and "file_name" in fields:
            fields["image_id"] = fields["file_name"]
        segmentation = self._segmentation(fields.pop("segmentation", None), place)
        try:
            result = msgspec.convert(fields if isinstance(entry, dict) else entry, Result)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a character, "\ud800", is text in JSON
            problem, at, within = str(error).partition(" - at `$")
            raise ValueError(
                json_file.misfit(self._name, "result", f"{problem} - at `$[{index}]{within if at else '`'}", place)
            ) from error
        return msgspec.structs.replace(result, segmentation=segmentation)

    def _number(self, written: str, of: str, place: str) -> float:
        """The number that a text is. Raises ValueError for other text."""
        try:
            found = float(written)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise ValueError(
                f"{self._name}: {place} has text where a number belongs: {written[:20]!r} in its {of}; expected a "
                "finite number; repair or remove it."
            )
        self._ledger.note(f"{of}_text", f"results with a {of} as text, read as the number", place)
        return found

    def _segmentation(self, value: object, place: str) -> Segmentation | None:
        if isinstance(value, list) and not any(value):
            return []  # a mask without a pixel is a prediction
        try:
            found, repair = normal_segmentation(value)
        except ValueError as error:
            raise ValueError(f"{self._name}: {place}: {error}") from error
        if repair:
            self._ledger.note(repair, f"results with {repair} as segmentation, read as meant", place)
        return found


def _is_results(values: Sequence[object]) -> bool:
    return len(values) > 0 and all(isinstance(each, dict) and "score" in each for each in values)


def _file_names(images: object) -> dict[int | None, str]:
    """File names of a data set's images by id."""
    named = [each for each in images if isinstance(each, dict)] if isinstance(images, list) else []
    return {
        _number_or_none(each.get("id")): each["file_name"] for each in named if isinstance(each.get("file_name"), str)
    }


def _category_names(categories: object) -> dict[int, str]:
    named = [each for each in categories if isinstance(each, dict)] if isinstance(categories, list) else []
    return {
        each["id"]: each["name"]
        for each in named
        if isinstance(each.get("id"), int) and isinstance(each.get("name"), str)
    }


def _number_or_none(image_id: object) -> int | None:
    """The number of an id; None for what is no id."""
    try:
        return number(image_id) if isinstance(image_id, Id | float) else None
    except (ValueError, OverflowError):
        return None
