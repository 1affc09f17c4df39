"""`import`: weights that other people trained with their own code."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from rich.table import Table
from tyro.conf import Positional, arg

from bench.cli.output import COMPLETE, INCOMPLETE, USAGE, check_folder, print_table, tell

if TYPE_CHECKING:
    from bench.foreign.importing import Import as Imported
    from bench.foreign.importing import Source


@dataclass(frozen=True, kw_only=True)
class Import:
    """Turn checkpoints of other code into weights for this one; nothing in them is run, nothing is downloaded."""

    source: Positional[Literal["detseg", "torchvision"]]
    """Whose. detseg: the authors' own code, github.com/CedricPicron/DetSeg, whose page links four models trained on
    COCO, one for each head. torchvision: its Mask R-CNN, maskrcnn_resnet50_fpn and maskrcnn_resnet50_fpn_v2, as
    torch.hub keeps them after torchvision has loaded them once."""
    files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE...")]
    """Their checkpoints, as torch.save wrote them."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("weights")
    """The folder for the weights: one safetensors file a model, and a record of what it was made of."""
    entry: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(optional)")] = None
    """Which weights of a checkpoint that has several, such as model_ema."""
    dry_run: bool = False
    """Print which tensor becomes which of ours and how, and write nothing."""

    def __call__(self) -> int:
        """Import one file after the other, telling what each is; those that are refused do not stop the others."""
        from bench.foreign.importing import read
        from bench.foreign.state_dict import SeveralEntries

        if not self.files:
            raise ValueError("There is no file to import. It is a checkpoint that torch.save wrote. Give one or more.")
        source = cast("Source", importlib.import_module(f"bench.foreign.{self.source}"))
        check_folder("--out", self.out)
        refused = 0
        for path in self.files:
            try:
                self._import(read(path, source, self.entry))
            except ValueError as error:
                hint = f" Such as: --entry {error.entries[0]}." if isinstance(error, SeveralEntries) else ""
                tell(f"{error}{hint}", mark="error:")
                refused += 1
        if not refused:
            return COMPLETE
        return USAGE if refused == len(self.files) else INCOMPLETE

    def _import(self, found: "Imported") -> None:
        said = [f"{len(found.state.tensors)} tensors", *found.state.notes]
        if found.state.entry is not None:
            said.append(f"from its entry {found.state.entry}")
        if self.dry_run:
            _print_map(found)
            said.append("nothing written")
        else:
            path, is_new = found.write(self.out, self.source)
            said.append(f"{'written to' if is_new else 'the same as'} {path}")
        tell(f"{found.path}: {found.converted.subject.name}, {', '.join(said)}")


def _print_map(found: "Imported") -> None:
    from bench.foreign.key_map import shape_of

    tensors = found.converted.model.state_dict()
    table = Table("ours", "theirs", "shape", "how", title=str(found.path))
    for entry in found.converted.entries:
        more = f" and {len(entry.theirs) - 1} more" if len(entry.theirs) > 1 else ""
        table.add_row(entry.ours, entry.theirs[0] + more, shape_of(tensors[entry.ours]), entry.how)
    print_table(table)
