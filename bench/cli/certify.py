"""`certify`: does every sparse backend compute what a dense network computes?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bench import plan, session
from bench.cli.output import COMPLETE, INCOMPLETE, json_lines, print_table, tell, tell_outcome
from bench.plan import Context
from bench.record import encode
from bench.session import Selection
from bench.store import Store


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
        from reports.choice import tables_of
        from reports.frame import frame
        from reports.layout import terminal

        context, store = Context(device=self.device), Store(self.results)
        steps = session.prepare("certify", context, store, Selection(backends=self.backends), force=True).steps
        records = []
        with json_lines(self.json) as lines:
            for outcome in plan.run(steps, context, store):
                record = outcome.record
                records.append(record)
                tell_outcome(outcome, f"[{len(records)}/{len(steps)}]")
                if record.values.get("failed"):
                    count = f"{record.values['failed']} of {record.values['checks']} checks"
                    tell(f"[red]{outcome.cell}: {count} failed[/red], see {outcome.entry.path}")
                if lines is not None:
                    lines.write(encode(record).decode() + "\n")
        for shown in tables_of("certify", frame(records)):
            print_table(terminal(shown), stderr=self.json == "-")
        return COMPLETE if all(record.values.get("failed") == 0 for record in records) else INCOMPLETE
