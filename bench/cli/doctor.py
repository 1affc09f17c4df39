"""`doctor`: what can be measured here, what is missing, how to get it; what a data set has, what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from bench.cli.data_options import DataOptions
from bench.cli.output import COMPLETE, console

if TYPE_CHECKING:
    from bench.planning.doctor import Finding


@dataclass(frozen=True, kw_only=True)
class Doctor(DataOptions):
    """What can be measured here, what is missing, how to get it; what a data set has, what is wrong with it."""

    def __call__(self) -> int:
        """Print every finding with its remedy."""
        page = console()
        for finding in self._findings():
            colour = "green" if finding.good else "yellow"
            mark = "ok" if finding.good else finding.mark
            page.print(Text.assemble((f"{mark:<7}", colour), f" {finding.name:<16} {finding.detail}"))
            if not finding.good:
                page.print(f"{'':<8}{'to do:':<16} {finding.remedy}")
        return COMPLETE

    def _findings(self) -> "Iterator[Finding]":
        from bench.planning import doctor

        try:
            data, problem = self.data_set(), ""
        except ValueError as error:
            data, problem = None, str(error)
        for finding in doctor.examine(data):
            if not problem or finding.name != "data set":
                yield finding
        if problem:
            remedy = "Correct what it says, then look again."
            yield doctor.Finding(name="data set", good=False, detail=problem, remedy=remedy)
