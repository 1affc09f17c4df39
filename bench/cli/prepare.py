"""`prepare`: write a data set."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from bench.cli.data_options import DataOptions
from bench.cli.output import COMPLETE


@dataclass(frozen=True, kw_only=True)
class Prepare(DataOptions):
    """Write the embedded data set (`prepare glyphs`), the cocofied LVIS file of AP* (`prepare lvis`), or annotation
    files of two parts of a data set that has one (`prepare split`)."""

    dataset: Positional[Literal["glyphs", "lvis", "split"]]
    """What to prepare."""
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(split: default in the data set)")] = None
    """The directory (glyphs, split) or file (lvis) to write."""
    lvis_annotations: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(for lvis)")] = None
    """LVIS annotations, v0.5 or v1."""
    split: Literal["train", "tune", "test"] = "test"
    """Glyphs: which of the disjoint splits; tune and test become val2017, so give each a directory of its own."""
    images: Annotated[int, arg(metavar="N")] = 200
    """Glyphs: how many images, from the first on."""
    val: Annotated[float, arg(metavar="SHARE")] = 0.2
    """Split: the share of the pictures that are for validation."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Split: another seed draws other pictures; the same one always the same."""
    part: Annotated[Literal["train", "val"] | None, arg(help_behavior_hint="(optional)")] = None
    """Split: which part of a data set that has two already."""

    def __call__(self) -> int:
        """Write the files, then say what is in them and what is not."""
        if self.dataset == "split":
            self._split()
        elif self.out is None:
            raise ValueError(f"There is no place to write {self.dataset} to. It is written whole. Give it: --out PATH.")
        elif self.dataset == "glyphs":
            self._glyphs(self.out)
        elif self.lvis_annotations is None:
            raise ValueError("There is no LVIS file to prepare. It is cocofied. Give it: --lvis-annotations FILE.")
        else:
            self._lvis(self.lvis_annotations, self.out)
        return COMPLETE

    def _split(self) -> None:
        from bench.data.split import split

        data = self.data_set()
        if data is None:
            raise ValueError(
                "There is no data set to split. It is the folder of pictures and annotations that a tool exported. "
                "Give it: --data DIR."
            )
        if data.is_split and self.part is None:
            raise ValueError(
                f"{data.root} has two parts already: {data.train.annotations} and {data.val.annotations}. A split is "
                "for a data set that has one. Use it as it is (run_bench.py doctor --data "
                f"{data.root}), or say which part to split: --part train."
            )
        name = f"split-{self.part}-" if self.part else "split-"
        out = self.out or data.root / f"{name}{self.val:g}-seed{self.seed}"
        made = split(data, out, val=self.val, seed=self.seed, part=self.part)
        print(f"{out}: {made.data.kind}{'' if made.is_new else ', as it was there already'}")
        for side, found in (("train", made.train), ("val", made.val)):
            print(f"{side}: {found.images} pictures, {found.objects} objects")
            if found.lacking:
                print(f"classes without an object in {side}: {', '.join(found.lacking)}")
        if made.copies:
            print(f"{made.copies} pictures are copies of others (same content, or same source): they stay with these")
        print(f"next: run_bench.py doctor --data {shlex.quote(str(out))}")
        print(f"then: run_bench.py train own --data {shlex.quote(str(out))}")

    def _glyphs(self, out: Path) -> None:
        from bench.glyphs import CATEGORIES, write

        write(out, self.split, self.images)
        part = "train" if self.split == "train" else "val"
        print(f"{out}: {self.images} images of {len(CATEGORIES)} classes in {part}2017")
        print(f"coarse annotations: {out / 'annotations' / f'instances_{part}2017.json'}")
        print(f"fine annotations: {out / 'annotations' / f'glyphs_fine_{part}.json'}")

    def _lvis(self, source: Path, out: Path) -> None:
        from bench.data.cocofy import prepare_lvis

        made = prepare_lvis(source, out)
        print(f"{out}: {made.num_images} images, {made.num_annotations} objects, {made.num_categories} classes")
        print(f"sha256 {made.sha256}")
        print(f"from {made.lvis_version or 'LVIS'}, sha256 {made.source_sha256}")
        print(f"COCO classes that it has no class for: {', '.join(made.lost) or 'none'}")
        print(f"COCO classes on none of its images: {', '.join(made.absent) or 'none'}")
