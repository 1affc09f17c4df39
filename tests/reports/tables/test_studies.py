"""The studies of where and how much EffSeg refines."""

import msgspec

from bench.record import Record
from reports.layout import Table
from reports.renderers.markdown import markdown
from reports.select.measured import measured
from reports.tables import studies
from tests.reports.embedded_records import budget, policies, trained


def policy_tables(*records: Record) -> list[Table]:
    return studies.policies(measured(records))


def test_every_rule_beside_the_one_of_training() -> None:
    (table,) = policy_tables(policies())
    headings = ["Rule", "AP*", "vs predicted", "APB*", "vs predicted", "AP", "vs predicted", "Not significant"]
    assert [column.name for column in table.columns] == headings
    texts = {row[0].split(" ")[0]: row[1:] for row in table.texts()}
    assert list(texts) == ["predicted", "uncertainty", "boundary", "random", "oracle", "all"]
    assert texts["predicted"] == ["44.2", "", "32.2", "", "42.2", "", ""]
    assert texts["random"][:2] == ["38.2", "-6.0 [-6.5, -5.5]"]
    assert [texts[name][-1] for name in ("uncertainty", "boundary", "oracle")] == ["all", "", ""]


def test_the_claim_is_about_the_choice_at_inference() -> None:
    caption = " ".join(policy_tables(policies())[0].caption)
    assert "trained with the rule 'predicted': this is about the choice of cells at inference" in caption
    assert "712 cells of an image and stage" in caption
    assert "On 60 images" in caption


def test_budgets_from_the_fewest_cells_on() -> None:
    (table,) = studies.budgets(measured([budget()]))
    assert [row[:4] for row in table.texts()] == [
        ["none", "1", "10.0", "35.2"],
        ["half", "356", "17.1", "42.2"],
        ["trained", "712", "24.2", "44.2"],
        ["double", "1300", "36.0", "44.5"],
    ]
    assert [row[4] for row in table.texts()][2:] == ["", "+0.3 [-0.2, 0.8]"]
    assert table.texts()[3][-1] == "all"
    assert "on epyc-2c" in " ".join(table.caption)


def test_studies_of_several_models_are_told_apart() -> None:
    other = msgspec.structs.replace(policies(), subject=trained("effseg", module="conv", seed=1))
    titles = [table.title for table in policy_tables(policies(), other)]
    assert titles == [
        "Where should EffSeg refine? EffSeg, Conv, seed 1",
        "Where should EffSeg refine? EffSeg, SFM, seed 0",
    ]


def test_a_study_on_other_images_is_left_out_and_said() -> None:
    newest = msgspec.structs.replace(policies(), subject=trained("effseg", module="conv"))
    older = msgspec.structs.replace(policies(), protocol={**newest.protocol, "images": "first 6"})
    (table,) = policy_tables(older, newest)
    assert table.caption[-1] == "Left out of policies, because measured otherwise than the newest: EffSeg SFM (images)."


def test_a_rule_that_was_not_measured_has_no_numbers() -> None:
    made = policies()
    kept = tuple(value for value in made.values if value.at.get("policy") != "all")
    (table,) = policy_tables(msgspec.structs.replace(made, values=kept))
    assert "all cells" not in markdown(table).partition("\n\n*")[0]
