"""Heads that were trained side by side on one frozen detector: accuracy and cost, and what separates them.

A detector, a preset and a number of epochs have tables of their own, because only what shares them is a fair
comparison of heads.
"""

from collections.abc import Sequence
from dataclasses import replace

from bench.record import Subject
from reports.layout import Table
from reports.select.field import Field
from reports.select.measured import Measured
from reports.tables import own

_ACCURACIES = tuple(
    Field(heading=f"{heading}{boxes}", probe=probe, name=name, best="highest")
    for probe, boxes in (("accuracy", ""), ("accuracy_true_boxes", " true boxes"))
    for name, heading in (("ap", "AP"), ("apb", "APB"), ("ap_star", "AP*"), ("apb_star", "APB*"))
)
_COSTS = (
    *own.COSTS,
    Field(heading="GMACs", probe="flops", name="macs", digits=1, best="lowest", scale=1e9),
)


def tables(found: Sequence[Measured]) -> list[Table]:
    """For every detector and training: the headline, then the paired differences on either kind of boxes."""
    groups: dict[str, list[Measured]] = {}
    for each in found:
        groups.setdefault(_training(each.subject), []).append(each)
    made: list[Table] = []
    for name in sorted(groups):
        headline, *differences = own.tables(groups[name], accuracies=_ACCURACIES, costs=_COSTS)
        made.append(replace(headline, title=f"Heads on one frozen detector ({name})"))
        made += [replace(each, title=f"{each.title} ({name})") for each in differences]
    return made


def _training(subject: Subject) -> str:
    """What heads have in common that were trained side by side, but for the seed."""
    return ", ".join(filter(None, (subject.detector or "fqdet", subject.backbone, subject.preset, subject.schedule)))
