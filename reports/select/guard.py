"""What can be made of records that anybody may have written: one that lacks what a table needs is named and left out.

Every table, figure and sentence of a report is made in here. The schema of a record says nothing of which values and
conditions a probe leaves, so that a good record may still be one that nothing can be made of.
"""

import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from reports.select.measured import Measured

T = TypeVar("T")

CAUGHT: tuple[type[Exception], ...] = (Exception,)
"""What a record may be at fault for; tests of tables and figures set it to nothing, and see every mistake of these."""

_LONGEST_REASON = 300
"""Letters of an exception's text, which may repeat what is in a record."""

_log = logging.getLogger(__name__)


class Guard:
    """Makes what can be made. `left_out` are the records that something could not be made of, and why."""

    def __init__(self) -> None:
        self.left_out: dict[Path, str] = {}

    def make(self, what: str, make: Callable[[Sequence[Measured]], T], found: Sequence[Measured], nothing: T) -> T:
        """Make something of all records, or of those of which it can be made; `nothing` where these do not agree."""
        try:
            return make(found)
        except CAUGHT:
            usable = self._usable(what, make, found)
        try:
            return make(usable)
        except CAUGHT as error:
            _log.warning(
                "%s cannot be made of the %d records that it is about: %s. Expected records of one version of the "
                "project. Move those of others elsewhere.",
                *(what, len(found), _reason(error)),
            )
            return nothing

    def _usable(
        self, what: str, make: Callable[[Sequence[Measured]], object], found: Sequence[Measured]
    ) -> list[Measured]:
        """The records of which something can be made, looked for by halves: few are at fault."""
        try:
            make(found)
            return list(found)
        except CAUGHT as error:
            if len(found) <= 1:
                for each in found:
                    self._note(what, each, error)
                return []
        half = len(found) // 2
        return [*self._usable(what, make, found[:half]), *self._usable(what, make, found[half:])]

    def _note(self, what: str, each: Measured, error: Exception) -> None:
        path = Path(each.subject.name) if each.entry is None else each.entry.path
        fault = f"{what} cannot be made of it: {_reason(error)}"
        if path not in self.left_out:
            _log.warning("%s is left out: %s. Measure it again, or move it elsewhere.", path, fault)
        self.left_out.setdefault(path, fault)


def _reason(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:_LONGEST_REASON]} ({Path(place.filename).name}:{place.lineno})"
