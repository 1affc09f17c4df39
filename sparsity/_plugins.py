"""The folder is the registry: a public module of a plug-in package is a plug-in, named like its file.

Imports no torch.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType


def names(package: str) -> list[str]:
    """Names of the plug-ins of a package: its public modules."""
    path = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))


def unknown_name(kind: str, name: str, known: Sequence[str]) -> ValueError:
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
        raise unknown_name(kind, name, known)
    return importlib.import_module(f"{package}.{name}")
