"""What was published of the heads that the paper does not have: on other detectors, hence beside no number of ours."""

from collections.abc import Sequence

from reports import paper
from reports.layout import Column, Table
from reports.select.measured import Measured


def elsewhere(found: Sequence[Measured]) -> Table:
    """Make the table of `paper.OTHER_DETECTORS`, of those heads that were measured."""
    measured = {each.subject.head for each in found}
    published = [each for each in paper.OTHER_DETECTORS if each.head in measured]
    return Table(
        title="Other heads: published, another detector",
        columns=(
            Column(name="Head"),
            Column(name="Published as"),
            Column(name="Backbone"),
            Column(name="Schedule"),
            Column(name="AP", digits=1),
            Column(name="Source"),
        ),
        rows=tuple(
            (paper.HEADS.get(each.head, each.head), each.name, each.backbone, each.schedule, each.ap, each.source)
            for each in published
        ),
        caption=(
            "Mask AP as printed in the source, on val2017 unless the name says otherwise: each on a detector, a "
            "schedule and a recipe of its own, so these differ from ours, and from each other, by more than the heads.",
        ),
    )
