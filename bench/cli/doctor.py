"""`doctor`: what can be measured here, what is missing, how to get it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.markup import escape
from tyro.conf import arg

from bench.cli.output import COMPLETE


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """What can be measured here, what is missing, how to get it."""

    coco: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(optional)")] = None
    """A COCO directory to look at."""

    def __call__(self) -> int:
        """Print every finding with its remedy."""
        from bench.planning import doctor

        console = Console(highlight=False, soft_wrap=True)
        for finding in doctor.examine(self.coco):
            mark = "[green]ok     [/green]" if finding.good else "[yellow]missing[/yellow]"
            console.print(f"{mark} {finding.name:<16} {escape(finding.detail)}")
            if not finding.good:
                console.print(f"{'':<8}{'to do:':<16} {escape(finding.remedy)}")
        return COMPLETE
