"""The files that options name for writing: never what a verb reads, and whole or not at all."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bench.files import whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_WRITTEN = (".csv", ".json", ".jsonl")
"""Endings of what is written beside other things, such as a line for every record directly in the folder of these."""


def check_outputs(
    verb: "DataclassInstance", outputs: Mapping[str, Path | None], *, also: Iterable[Path | None]
) -> None:
    """Raise ValueError, before anything is done, where a file cannot be written, or is one that is read or written.

    `verb` has the options, `outputs` the files by the options that name them. Whatever another option names is read,
    and what is in a folder that it names, and the files of `also`. Files are compared, not names: links count.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    others = [getattr(verb, each.name) for each in fields(verb) if f"--{each.name.replace('_', '-')}" not in outputs]
    read = [path for value in others for path in _paths(value)] + [path for path in also if path is not None]
    for option, path in given.items():
        _check_writable(option, path)
        for source in read:
            if _is_read(path, source):
                raise ValueError(
                    f"{option} {path} would be written over, and {source} is read. It must be a file that is not. Name "
                    "another."
                )
        for other, written in given.items():
            if other != option and written.resolve() == path.resolve():
                raise ValueError(f"{option} and {other} are both {path}. They must be two files. Name another.")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a file for text that appears when all of it is written; a pipe or device gets what comes at once."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    with whole(path.resolve()) as place, place.open("w", encoding="utf-8") as file:
        yield file
        file.flush()


def _paths(value: object) -> Iterator[Path]:
    """The files and folders that the value of an option names; a word may be one, as an operand of `compare`."""
    for each in value if isinstance(value, tuple) else (value,):
        if isinstance(each, Path) or (isinstance(each, str) and _is_there(each)):
            yield Path(each)


def _is_there(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a long name of a cell is no name of a file
        return False


def _check_writable(option: str, path: Path) -> None:
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(
            f"{option} {path} cannot be written. It must be a file in an existing directory that can be written. Name "
            "another."
        )


def _is_read(path: Path, source: Path) -> bool:
    """Whether a file that would be written is `source`, or one of the folder `source` as far as one can tell."""
    if not path.exists() or not source.exists():
        return False
    if not source.is_dir():
        return path.samefile(source)
    resolved, folder = path.resolve(), source.resolve()
    if not resolved.is_relative_to(folder) or not path.is_file():
        return False
    is_of_weights = resolved.with_suffix(".safetensors").exists()
    return resolved.parent != folder or resolved.suffix not in _WRITTEN or is_of_weights
