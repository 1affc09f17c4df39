"""`certify`: does every sparse backend compute what a dense network computes?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bench.cli.output import INCOMPLETE, tell
from bench.cli.run import Run


@dataclass(frozen=True, kw_only=True)
class Certify:
    """Compare every backend and kernel with a dense network in float64; exit code 1 where one differs."""

    backends: Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: all of them)")] = ()
    """Only these backends and kernels, such as: sps sps:native."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    results: Path = Path("results")
    """Where records are kept. A certificate is always made anew: it is one of the code as it is now."""
    json: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(optional)")] = None
    """Also write every record as a line of JSON to this file; - is standard output."""

    def __call__(self) -> int:
        """Measure, print the table, name the failures."""
        verb = Run(
            recipe="certify",
            backends=self.backends,
            device=self.device,
            results=self.results,
            force=True,
            json=self.json,
        )
        code, outcomes = verb.run()
        for outcome in outcomes:
            failed = outcome.record.find("failed")
            if failed is not None and failed.value:
                count = f"{failed.value} of {outcome.record.get('checks').value} checks"
                tell(f"see {outcome.entry.path}", mark=f"{outcome.cell}: {count} failed,")
                code = INCOMPLETE
        return code
