"""Everything that has a name on the command line: plug-ins by folder, backbones, data sets.

Reads folders and docstrings without importing a plug-in, because plug-ins import torch, which takes seconds.
"""

import ast
import importlib.util
import pkgutil
from collections.abc import Collection
from pathlib import Path

from sparsity import unknown_name

BACKBONES = {
    "r50_fpn": "ResNet-50 with a feature pyramid network, P2 to P7.",
    "r50_defenc": "ResNet-50 with a deformable encoder, P2 to P7.",
    "r50_tvfpn": "ResNet-50 with torchvision's feature pyramid network, P2 to P6, for torchvision's detectors.",
    "small_fpn": "A small ResNet with GroupNorm and a feature pyramid network, for the small preset.",
}

DETECTORS = {
    "fqdet": "FQDet v1, the detector of the paper: 300 queries, selected among the anchors of a pyramid.",
    "fqdetv2": "FQDetV2, that of the authors' public models: 600 queries, and losses by the overlap of boxes.",
    "torchvision": "torchvision's Mask R-CNN without its masks, as its COCO weights need it; it does not learn.",
    "torchvision_v2": "The same of torchvision's second version, with better boxes.",
}


def plugins(package: str) -> dict[str, str]:
    """First docstring line of every plug-in of a package, by name: its public modules."""
    return {name: docstring(f"{package}.{name}").partition("\n")[0] for name in names(package)}


def names(package: str) -> list[str]:
    """Names of the plug-ins of a package, without a look into their files."""
    modules = pkgutil.iter_modules([str(_folder(package))])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def docstring(module: str) -> str:
    """The docstring of a module by its dotted name, such as `bench.probes.speed`; empty where there is no such file."""
    tree = _parsed(module)
    return "" if tree is None else ast.get_docstring(tree) or ""


def constant(module: str, name: str) -> object:
    """A constant that a module spells out, or takes from another one that does, as in `VERSION = evaluate.VERSION`.

    None where it has none or computes it, and where there is no such file.
    """
    tree = _parsed(module)
    homes: dict[str, str] = {}
    for statement in [] if tree is None else tree.body:
        match statement:
            case ast.ImportFrom(module=str(package), names=names):
                homes |= {alias.asname or alias.name: f"{package}.{alias.name}" for alias in names}
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=value)) if target == name:
                return value
            case ast.Assign(
                targets=[ast.Name(id=target)], value=ast.Attribute(value=ast.Name(id=home), attr=attribute)
            ) if target == name and home in homes:
                return constant(homes[home], attribute)
    return None


def kernels() -> dict[str, str]:
    """First docstring line of every kernel of the `sps` backend, by name: `reference` in `sps:reference`."""
    return plugins("sparsity._kernels")


def check(kind: str, name: str, known: Collection[str]) -> None:
    """Raise ValueError with the closest names and the full list where `name` is not known."""
    if name not in known:
        raise unknown_name(kind, name, sorted(known))


def check_backend(name: str) -> None:
    """Raise ValueError for an unknown backend, or an unknown kernel after its colon."""
    backend, colon, kernel = name.partition(":")
    check("backend", backend, names("sparsity"))
    if colon:
        check("kernel", kernel, names("sparsity._kernels"))


def _folder(package: str) -> Path:
    """Folder of a package. Only its top level is looked up by import, which imports nothing."""
    top, *below = package.split(".")
    spec = importlib.util.find_spec(top)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], *below)


def _parsed(module: str) -> ast.Module | None:
    package, _, name = module.rpartition(".")
    files = (_folder(package) / f"{name}.py", _folder(package) / name / "__init__.py")
    return next((ast.parse(file.read_text(encoding="utf-8")) for file in files if file.is_file()), None)
