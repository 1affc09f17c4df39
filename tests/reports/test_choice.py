"""Nothing that was measured is left unshown, and nothing where it does not belong."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench.record import Record, Subject
from reports.choice import all_tables, tables_of
from reports.layout import Table
from reports.select.measured import measured
from tests.reports.embedded_records import accuracy, budget, demo_records, keep, policies, record, trained
from tests.reports.invented import invented
from tests.reports.tables import test_backends


def of_paper(probe: str, **values: float) -> Record:
    of = Subject(head="mask_rcnn", backbone="r50_fpn", preset="paper", weights="sha256:1")
    return invented(of, {"probe": probe, "version": 1}, values, unit="u")


TRACED = of_paper("trace", stage1_active_fraction=0.5)


def names(tables: list[Table]) -> list[str]:
    return [str(row[1]) for table in tables for row in table.rows if len(row) > 2]


@pytest.mark.parametrize("recipe", ["heads", "oracle", "sparsity", "break_even", "certify", "my_package:mine"])
def test_a_probe_without_a_place_in_the_tables_gets_one(recipe: str) -> None:
    assert names(tables_of(recipe, measured([TRACED]))) == ["active_fraction (stage 1)"]


def test_a_report_shows_every_probe_once() -> None:
    tables = all_tables(measured([TRACED, of_paper("params", params_head=2.9e6)]))
    assert [table.title.partition(":")[0] for table in tables] == ["Table 4", "Other values"]
    assert names(tables[-1:]) == ["active_fraction (stage 1)"]


def test_nothing_measured_is_no_table() -> None:
    assert all_tables([]) == []
    assert tables_of("oracle", []) == []


@pytest.mark.parametrize(("recipe", "study"), [("policies", policies), ("budget", budget)])
def test_a_study_by_itself_has_its_table(recipe: str, study: Callable[[], Record]) -> None:
    (table,) = tables_of(recipe, measured([study()]))
    assert table.title in ("Where should EffSeg refine?", "What does accuracy cost?")


def test_the_embedded_data_change_no_other_table(tmp_path: Path) -> None:
    """Small heads measured last are neither the paper's, nor files that were evaluated, nor rungs of the ladder."""
    subject = Subject(head="mask_rcnn", backbone="r50_fpn", preset="paper", schedule="12ep", weights="sha256:1")
    real = accuracy(subject, 38.0, probe="accuracy")
    foreign = accuracy(Subject(head="theirs", weights="sha256:2"), 40.0, probe="accuracy")
    store = keep(tmp_path, real, foreign, *test_backends.RECORDS, recipe="mine")
    before = all_tables(measured(store))
    later = [msgspec.structs.replace(each, started="2026-02-01T00:00:00.000000+00:00") for each in demo_records()]
    keep(tmp_path, *later)
    after = all_tables(measured(store))
    assert before[0].title.startswith("Table 3")
    assert set(before) <= set(after)
    assert len(after) == len(before) + 16


def test_the_reduced_study_of_backends_does_not_take_the_place_of_the_full_one(tmp_path: Path) -> None:
    full = test_backends.RECORDS
    small = [
        msgspec.structs.replace(
            each, protocol={**each.protocol, "regions": 20}, started="2026-02-01T00:00:00.000000+00:00"
        )
        for each in full
    ]
    keep(tmp_path, *full, recipe="sparsity")
    store = keep(tmp_path, *small)
    shown = {table.title: " ".join(table.caption) for table in all_tables(measured(store))}
    assert "regions 100" in shown["Table 2, measured: ways to store refined regions"]
    assert "regions 20" in shown["Table 2, measured: ways to store refined regions, at reduced size"]


def test_small_models_of_other_data_are_told_apart() -> None:
    glyphs = accuracy(trained("effseg"), 44.0)
    photos = msgspec.structs.replace(glyphs, subject=msgspec.structs.replace(glyphs.subject, schedule="coco_mini"))
    titles = [table.title for table in all_tables(measured([glyphs, photos]))]
    assert titles == ["Heads on true boxes", "Heads on true boxes, trained on coco_mini"]


def test_small_models_without_a_table_are_shown_as_values() -> None:
    random = record(trained("effseg", weights="random"), "params", {"params_head": 1e5})
    random = msgspec.structs.replace(random, subject=msgspec.structs.replace(random.subject, schedule="none"))
    (table,) = all_tables(measured([random]))
    assert table.title == "Other values"
