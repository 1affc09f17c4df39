"""The annotation files of COCO and LVIS, and of tools that mean the same: read once while they are the same.

The format requires what no reader can do without. What some need and others do not, they ask for: `require`. All that
looks at objects asks for `objects`, which are checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
from msgspec import UNSET

from bench import json_file
from bench.data import image_ids
from bench.data.checks import Objects, check_objects
from bench.data.entries import Annotation, Category, Entries, ImageEntry
from bench.data.findings import Finding, tell_once
from bench.data.repairs import repaired
from bench.files import checksum_of

_NUM_KEPT = 2  # of a run, one of COCO and one of LVIS: more must not stay, since train2017's has 450 MB


@dataclass(frozen=True, kw_only=True)
class AnnotationFile:
    """The content of an annotation file, JSON or gzip; `name` is what messages call it.

    It is decoded when an entry is first asked for, which raises ValueError for content that is no annotation file.
    """

    name: str
    content: bytes

    @cached_property
    def checksum(self) -> str:
        """The "sha256:..." of the content."""
        return checksum_of(self.content)

    @property
    def images(self) -> tuple[ImageEntry, ...]:
        """The images in the order of the file."""
        return self._entries.images

    @property
    def annotations(self) -> tuple[Annotation[msgspec.Raw], ...]:
        """The objects in the order of the file, as they are there; none where it has no such list."""
        return self._entries.annotations or ()

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in the order of the file; none where it has no such list."""
        return self._entries.categories or ()

    def objects(self, *, leave_out_maskless: bool = False) -> Objects:
        """The objects, checked, with boxes that are theirs, and what was found on the way.

        What was repaired or looks wrong is told once, as a warning. Raises ValueError as
        `bench.data.checks.check_objects`.
        """
        key = "kept" if leave_out_maskless else "all"
        if key not in self._checked:
            found = check_objects(
                self.name, self.images, self.annotations, self.categories, leave_out_maskless=leave_out_maskless
            )
            self._checked[key] = replace(found, findings=(*self._read[1], *found.findings))
            tell_once(self.name, self._checked[key].findings)
        return self._checked[key]

    def require(
        self, *, lists: Sequence[str] = (), of_images: Sequence[str] = (), of_annotations: Sequence[str] = ()
    ) -> None:
        """Raise ValueError where the file lacks one of these lists, or an image or annotation one of these fields."""
        for name in lists:
            if getattr(self._entries, name) is UNSET:
                raise ValueError(json_file.misfit(self.name, "annotation", _missing(name)))
        for name in of_images:
            for index, image in enumerate(self.images):
                if getattr(image, name) is UNSET:
                    error = f"{_missing(name)} - at `$.images[{index}]`"
                    raise ValueError(json_file.misfit(self.name, "annotation", error))
        for name in of_annotations:
            for index, annotation in enumerate(self.annotations):
                if getattr(annotation, name) is None:
                    error = f"{_missing(name)} - at `$.annotations[{index}]`"
                    raise ValueError(json_file.misfit(self.name, "annotation", error, self.place(index)))

    def place(self, index: int) -> str:
        """Name an annotation as all messages do."""
        return json_file.place("annotation", index, image_ids.original(self.annotations[index].image_id))

    @cached_property
    def _checked(self) -> dict[str, Objects]:
        return {}

    @property
    def _entries(self) -> Entries:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[Entries, tuple[Finding, ...]]:
        text = json_file.text(self.content, self.name)
        try:
            return msgspec.json.decode(text, type=Entries), ()
        except msgspec.ValidationError:
            try:
                return repaired(text, self.name)
            except (msgspec.MsgspecError, RecursionError):
                pass  # neither form fits: what follows says why not
        except (msgspec.DecodeError, RecursionError):
            pass
        return json_file.decode(self.content, self.name, msgspec.json.Decoder(Entries), "annotation"), ()


_kept: dict[json_file.State, AnnotationFile] = {}


def read_annotations(path: Path, *, keep: bool = True) -> AnnotationFile:
    """Read an annotation file. One that is kept already is read again only if it has changed since.

    Only the last two with `keep` are: it is for what a run asks for again in every cell. Raises ValueError for a file
    that cannot be read.
    """
    state = json_file.state(path)
    file = _kept.get(state) or AnnotationFile(name=str(path), content=json_file.read(path))
    if keep:
        _kept[state] = file
        while len(_kept) > _NUM_KEPT:
            del _kept[next(iter(_kept))]
    return file


def _missing(field: str) -> str:
    return f"Object missing required field `{field}`"
