"""What is published stands in three places, which must agree: in reports, beside imports, and in the documentation."""

from pathlib import Path

from bench.foreign import detseg, torchvision
from reports import paper

PAGE = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
ROWS = {(row.head, row.detector): row for row in paper.PUBLISHED}


def test_an_import_states_what_reports_compare_with() -> None:
    for head, published in detseg.PUBLISHED.items():
        row = ROWS[head, "fqdetv2"]
        assert (published.box_ap, published.mask_ap) == (row.values["box_ap"], row.values["ap"])
    for detector, release in torchvision.RELEASES.items():
        stated = release.meta["_metrics"]["COCO-val2017"]
        assert ROWS["torchvision_mask", detector].values == {"box_ap": stated["box_map"], "ap": stated["mask_map"]}
    assert len(ROWS) == len(detseg.PUBLISHED) + len(torchvision.RELEASES)


def test_the_documentation_has_every_row() -> None:
    for row in paper.PUBLISHED:
        if row.detector == "fqdetv2":
            assert (
                f"| {paper.HEADS[row.head]} | {' | '.join(f'{value:.2f}' for value in row.values.values())} |" in PAGE
            )
        else:
            assert f"{row.values['box_ap']} / {row.values['ap']}" in PAGE
