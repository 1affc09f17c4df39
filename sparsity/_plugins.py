"""The folder is the registry: a public module of a plug-in package is a plug-in, named like its file."""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from sparsity._grid import GridType


def names(package: str) -> list[str]:
    """Names of the plug-ins of a package: its public modules."""
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))


def unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    """Make the error for a name that is not there, with its closest matches and the full list."""
    close = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(repr(match) for match in close)}? " if close else ""
    return ValueError(
        f"There is no {kind} named {name!r}. {hint}Known: {', '.join(known) or 'none'}. Use one of these."
    )


def plugin(package: str, name: str, kind: str) -> ModuleType:
    """Import the plug-in `name` of `package`. Raises ValueError with the closest names where there is none."""
    known = names(package)
    if name not in known:
        raise unknown(kind, name, known)
    return importlib.import_module(f"{package}.{name}")


def backend(name: str) -> GridType:
    """Give the Grid class of a backend by its module name, or one of its kernels as in `sps:native`.

    Raises ValueError for an unknown name, for a file that has no class `Backend`, and for a kernel of a backend that
    has none.
    """
    storage, colon, kernel = name.partition(":")
    module = plugin("sparsity", storage, "backend")
    if not hasattr(module, "Backend"):
        raise ValueError(
            f"The file of the backend {storage!r} has no class `Backend`; a backend is a file with one; "
            "name the class so, or put an underscore in front of the name of a file that is no backend."
        )
    if not colon:
        return module.Backend
    if not hasattr(module, "with_kernel"):
        raise ValueError(
            f"The backend {storage!r} has no kernels, {kernel!r} was asked for; expected none; leave out what is "
            "behind the colon."
        )
    return module.with_kernel(kernel)
