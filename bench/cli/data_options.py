"""The options that name a data set, the same for every verb that reads one."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bench.data.layout import DataSet, Part, coco_layout, recognise

_Directory = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(optional)")]
_File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")]


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """A data set by its folder, for verbs that read no pictures."""

    data: _Directory = None
    """A data set as COCO, Roboflow, CVAT, Label Studio, LVIS or `prepare split` lay it out; see doctor --data DIR."""
    leave_out_maskless: bool = False
    """Leave out and count objects that have only a box; without, they are an error."""

    def ground_truth(self, coco: Path | None, lvis: Path | None) -> tuple[Path | None, Path | None]:
        """Annotation files to score with: those given, else those of the data set's validation part."""
        if self.data is None:
            return coco, lvis
        found = recognise(self.data)
        lvis = lvis or found.lvis
        return coco or (found.val.annotations if found.val.annotations != lvis else None), lvis


@dataclass(frozen=True, kw_only=True)
class DataOptions(DataFolder):
    """A data set by its folder, or its parts one by one."""

    coco: _Directory = None
    """COCO in the standard layout: DIR/val2017/*.jpg, DIR/annotations/instances_val2017.json, train2017 likewise."""
    train_images: _Directory = None
    """The folder of the training pictures, where it is not recognised or another is meant."""
    train_annotations: _File = None
    """The annotations of the training pictures."""
    val_images: _Directory = None
    """The folder of the validation pictures."""
    val_annotations: _File = None
    """The annotations of the validation pictures."""

    def data_set(self) -> DataSet | None:
        """The data set that the options name. Raises ValueError for options that do not go together or lead nowhere."""
        found = self._named()
        if found is None or not self.leave_out_maskless:
            return found
        return replace(
            found,
            train=replace(found.train, leave_out_maskless=True),
            val=replace(found.val, leave_out_maskless=True),
        )

    def said(self) -> str:
        """These options as they were given, for the command that comes next."""
        paths = {
            "--data": self.data,
            "--coco": self.coco,
            "--train-images": self.train_images,
            "--train-annotations": self.train_annotations,
            "--val-images": self.val_images,
            "--val-annotations": self.val_annotations,
        }
        given = [part for option, path in paths.items() if path is not None for part in (option, str(path))]
        return shlex.join([*given, *(["--leave-out-maskless"] if self.leave_out_maskless else [])])

    def _named(self) -> DataSet | None:
        if self.data is not None and self.coco is not None:
            raise ValueError(
                f"Both --data {self.data} and --coco {self.coco} are given. They say the same in two ways: any layout, "
                "and COCO's own. Leave one out."
            )
        self._check_paths()
        found = None
        if self.data is not None:
            found = recognise(self.data)
        elif self.coco is not None:
            found = coco_layout(self.coco)
        train = _part("train", self.train_images, self.train_annotations, None if found is None else found.train)
        val = _part("val", self.val_images, self.val_annotations, None if found is None else found.val)
        if found is not None and train is not None and val is not None:
            return replace(found, train=train, val=val)
        one = train or val
        if one is None:
            return None
        return DataSet(root=one.annotations.parent, kind="named parts", train=train or one, val=val or one)

    def _check_paths(self) -> None:
        for option, path, is_there, what in (
            ("--coco", self.coco, Path.is_dir, "Its layout is in the help"),
            ("--train-images", self.train_images, Path.is_dir, "It must be a folder of pictures"),
            ("--train-annotations", self.train_annotations, Path.is_file, "It must be a file in COCO's format"),
            ("--val-images", self.val_images, Path.is_dir, "It must be a folder of pictures"),
            ("--val-annotations", self.val_annotations, Path.is_file, "It must be a file in COCO's format"),
        ):
            if path is not None and not is_there(path):
                raise ValueError(f"{option} {path} is not there. {what}. Check the path.")


def _part(name: str, images: Path | None, annotations: Path | None, found: Part | None) -> Part | None:
    """A part as it is named, what is not named as it was found."""
    if images is None and annotations is None:
        return found
    if found is not None:
        return replace(found, pictures=images or found.pictures, annotations=annotations or found.annotations)
    if images is None or annotations is None:
        given, lacking = ("annotations", "images") if images is None else ("images", "annotations")
        raise ValueError(
            f"--{name}-{given} is given without --{name}-{lacking}. A part is a folder of pictures and a file of "
            f"annotations. Add --{name}-{lacking}, or --data DIR for what is not named."
        )
    return Part(pictures=images, annotations=annotations)
