"""Which records count, and which may stand beside each other: the one rule for tables, figures and the summary.

The newest record of a probe says what compares: records of the same protocol, on as many images, and of what depends on
the machine, on the same one. Of every subject the newest of these counts. A subject that has none of them is left out,
and whoever shows the others says so.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import msgspec

from bench import catalog
from bench.record import Scalar, Subject
from reports.select.measured import Measured
from reports.select.naming import names


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """The records of one probe that may be compared, one of each subject, by when the subjects were measured first.

    `newest` is the record that says what compares; None where nothing was measured. `left_out` are the newest records
    of the subjects that were only measured otherwise.
    """

    newest: Measured | None
    shown: tuple[Measured, ...]
    left_out: tuple[Measured, ...]

    def only(self, keep: Callable[[Measured], bool]) -> "Comparable":
        """Of what was chosen, and of what is left out, the records that a table or figure is about."""
        return replace(self, shown=tuple(filter(keep, self.shown)), left_out=tuple(filter(keep, self.left_out)))

    def sentences(self) -> Iterator[str]:
        """Say what is left out and in what it differs; nothing where nothing is."""
        newest = self.newest
        if newest is None:
            return
        called = names([each.subject for each in (*self.left_out, *self.shown)])
        told: dict[str, dict[str, None]] = {}
        for of, each in zip(called, self.left_out, strict=False):
            differing = ", ".join(what_differs(newest, each, same_machine=is_timed(each.probe)))
            told.setdefault(differing, {})[of] = None
        if told:
            groups = "; ".join(f"{', '.join(of)} ({differing})" for differing, of in told.items())
            yield f"Left out of {newest.probe}, because measured otherwise than the newest: {groups}."


def comparable(found: Iterable[Measured], probe: str, *, of: Callable[[Subject], Hashable] | None = None) -> Comparable:
    """Choose among the records of a probe, the oldest first.

    `of` says what a subject is, for which one record counts: without it, all of it but its weights, since a model that
    is trained again remains the same model. Random weights are left out where the probe needs trained ones.
    """
    known = [each for each in found if each.probe == probe and means_something(each)]
    if not known:
        return Comparable(newest=None, shown=(), left_out=())
    known.sort(key=lambda each: each.started)
    identity = of or model
    same_machine = is_timed(probe)
    shown: dict[Hashable, Measured] = {}
    others: dict[Hashable, Measured] = {}
    for each in known:
        alike = not what_differs(known[-1], each, same_machine=same_machine)
        (shown if alike else others)[identity(each.subject)] = each
    return Comparable(
        newest=known[-1],
        shown=tuple(shown.values()),
        left_out=tuple(each for subject, each in others.items() if subject not in shown),
    )


def what_differs(first: Measured, second: Measured, *, same_machine: bool = False) -> list[str]:
    """The parts of the protocol that keep two records from being compared; none where they can be.

    What weights a model was started from says nothing about how it was measured, and a nominal number of regions
    belongs to the head. Images that could not be read are missing: as many of them as there are must have been measured
    for both.
    """
    conditions = [_conditions(each, same_machine=same_machine) for each in (first, second)]
    names = dict.fromkeys([*conditions[0], *conditions[1]])
    return [name for name in names if conditions[0].get(name) != conditions[1].get(name)]


def model(subject: Subject) -> Subject:
    """The part of a subject that stays when it is trained again: all of it but its weights."""
    return msgspec.structs.replace(subject, weights="")


def means_something(measured: Measured) -> bool:
    """Whether a record says anything: what a probe that needs trained weights finds of random ones does not."""
    return measured.subject.weights != "random" or not needs_weights(measured.probe)


@cache
def needs_weights(probe: str) -> bool:
    """Whether the values of a probe mean nothing for random weights, as the probe itself says."""
    return catalog.constant(f"bench.probes.{probe}", "NEEDS_WEIGHTS") is True


@cache
def is_timed(probe: str) -> bool:
    """Whether the values of a probe depend on the machine, as the probe itself says."""
    return catalog.constant(f"bench.probes.{probe}", "TIMED") is True


def _conditions(measured: Measured, *, same_machine: bool) -> dict[str, Scalar]:
    protocol = {**measured.protocol, "initial": None, "number of images": measured.number("images")}
    if protocol.get("kind") == "nominal":
        protocol["regions"] = None
    return {**protocol, "machine": measured.machine} if same_machine else protocol
