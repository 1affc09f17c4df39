"""What a data set has that was repaired, left out or looks wrong: counted, with the first few by name."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

NUM_EXAMPLES = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of thing. `name` is that of its count in records, `what` a plural noun and what was done with them.

    Such as "boxes that disagree with their masks, replaced by those of the masks". `plain` are those that every data
    set has, such as crowds: they are told and no reason to look.
    """

    name: str
    what: str
    count: int
    examples: tuple[str, ...] = ()
    plain: bool = False

    def sentence(self) -> str:
        """The finding in words, for a console, with its examples."""
        more = ", ..." * (self.count > len(self.examples))
        return f"{self.what}: {self.count:,}" + (f" ({', '.join(self.examples)}{more})" if self.examples else "")


@dataclass
class Ledger:
    """Counts things as they are met; `findings` are those that were."""

    _found: dict[str, Finding] = field(default_factory=dict)

    def note(self, name: str, what: str, example: str, *, count: int = 1, plain: bool = False) -> None:
        """Count one thing, or several of which one is named."""
        before = self._found.get(name)
        examples = () if before is None else before.examples
        self._found[name] = Finding(
            name=name,
            what=what,
            count=count + (0 if before is None else before.count),
            examples=(*examples, example) if len(examples) < NUM_EXAMPLES else examples,
            plain=plain,
        )

    def add(self, findings: Iterable[Finding]) -> None:
        """Add what was found elsewhere."""
        for one in findings:
            before = self._found.get(one.name)
            self._found[one.name] = (
                one
                if before is None
                else Finding(
                    name=one.name,
                    what=one.what,
                    count=before.count + one.count,
                    examples=(*before.examples, *one.examples)[:NUM_EXAMPLES],
                    plain=one.plain,
                )
            )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was met, in the order in which each kind was met first."""
        return tuple(self._found.values())


@lru_cache(maxsize=64)
def tell_once(name: str, findings: tuple[Finding, ...]) -> None:
    """Warn of what was found in what has this name, but for what is plain; not again while it is the same."""
    worth_a_look = [finding.sentence() for finding in findings if not finding.plain]
    if worth_a_look:
        _log.warning("%s: %s.", name, "; ".join(worth_a_look))
