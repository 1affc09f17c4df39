"""`prepare`: write a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from bench.cli.output import COMPLETE


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Write the embedded data set (`prepare glyphs`), or the cocofied LVIS file of AP* (`prepare lvis`)."""

    dataset: Positional[Literal["glyphs", "lvis"]]
    """What to prepare."""
    out: Annotated[Path, arg(metavar="PATH")]
    """The directory (glyphs) or file (lvis) to write."""
    lvis_annotations: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(for lvis)")] = None
    """LVIS annotations, v0.5 or v1."""
    split: Literal["train", "tune", "test"] = "test"
    """Glyphs: which of the disjoint splits; tune and test become val2017, so give each a directory of its own."""
    images: Annotated[int, arg(metavar="N")] = 200
    """Glyphs: how many images, from the first on."""

    def __call__(self) -> int:
        """Write the files, then say what is in them and what is not."""
        if self.dataset == "glyphs":
            self._glyphs()
        elif self.lvis_annotations is None:
            raise ValueError("There is no LVIS file to prepare. It is cocofied. Give it: --lvis-annotations FILE.")
        else:
            self._lvis(self.lvis_annotations)
        return COMPLETE

    def _glyphs(self) -> None:
        from bench.glyphs import CATEGORIES, write

        write(self.out, self.split, self.images)
        part = "train" if self.split == "train" else "val"
        print(f"{self.out}: {self.images} images of {len(CATEGORIES)} classes in {part}2017")
        print(f"coarse annotations: {self.out / 'annotations' / f'instances_{part}2017.json'}")
        print(f"fine annotations: {self.out / 'annotations' / f'glyphs_fine_{part}.json'}")

    def _lvis(self, source: Path) -> None:
        from bench.data.cocofy import prepare_lvis

        made = prepare_lvis(source, self.out)
        print(f"{self.out}: {made.num_images} images, {made.num_annotations} objects, {made.num_categories} classes")
        print(f"sha256 {made.sha256}")
        print(f"from {made.lvis_version or 'LVIS'}, sha256 {made.source_sha256}")
        print(f"COCO classes that it has no class for: {', '.join(made.lost) or 'none'}")
        print(f"COCO classes on none of its images: {', '.join(made.absent) or 'none'}")
