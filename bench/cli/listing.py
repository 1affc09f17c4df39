"""`list`: what can be named."""

from dataclasses import dataclass
from typing import Literal

from rich.text import Text
from tyro.conf import Positional

from bench import catalog
from bench.cli.output import COMPLETE, console
from bench.planning import recipes

Kind = Literal["heads", "backends", "modules", "backbones", "detectors", "probes", "recipes", "datasets"]

_DATASETS = {
    "glyphs": "The embedded pictographs, coarse and fine: prepare glyphs --out DIR writes them in COCO's layout.",
    "coco": "COCO val2017: --coco DIR with DIR/val2017/*.jpg and DIR/annotations/instances_val2017.json.",
    "own": "One of your own: --data DIR with what an annotation tool exported; doctor --data DIR says what it is.",
    "lvis": "LVIS v0.5 val, for AP* and APB*: --lvis FILE, cocofied or not.",
}


@dataclass(frozen=True, kw_only=True)
class List:
    """What can be named: plug-ins, recipes with their cells, data sets."""

    kind: Positional[Kind | None] = None
    """Which names; all of them without."""

    def __call__(self) -> int:
        """Print the names with one line each."""
        described = {
            "heads": catalog.plugins("heads"),
            "backends": catalog.plugins("sparsity") | {f"sps:{name}": line for name, line in catalog.kernels().items()},
            "modules": catalog.plugins("heads._modules"),
            "backbones": catalog.BACKBONES,
            "detectors": catalog.DETECTORS,
            "probes": catalog.plugins("bench.probes"),
            "recipes": {name: (recipe.__doc__ or "").partition("\n")[0] for name, recipe in recipes.RECIPES.items()},
            "datasets": _DATASETS,
        }
        page = console()
        for kind, names in described.items():
            if self.kind not in (None, kind):
                continue
            page.print(Text(kind, "bold"))
            for name, line in names.items():
                page.print(f"  {name:<16} {line}")
                if self.kind == "recipes":
                    for cell in recipes.with_weights(recipes.load(name), None):
                        page.print(f"    {cell}")
        return COMPLETE
