"""Data sets in folders: where pictures and annotation files of training and validation lie. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path


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

    `lvis` is the annotation file of AP* and APB*, where the layout has one.
    """

    root: Path
    kind: str
    train: Part
    val: Part
    lvis: Path | None = None

    @property
    def is_split(self) -> bool:
        """Whether there is more than one part."""
        return self.train != self.val


def coco_layout(root: Path) -> DataSet:
    """The parts of COCO's own layout, whether they are there or not."""
    return DataSet(root=root, kind="COCO", train=_coco_part(root, "train2017"), val=_coco_part(root, "val2017"))


def _coco_part(root: Path, split: str) -> Part:
    return Part(pictures=root / split, annotations=root / "annotations" / f"instances_{split}.json")
