"""What a whole report makes of bad input: hostile names, records that are none, values that are none."""

import csv
import html
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import bench.cli.report
from bench import cli
from bench.record import SCHEMA
from bench.store import Store
from tests.reports.stores import add, subject

HEADS = (
    *("<script>alert(1)</script>", "50%", "my_head_", "a&b", "$x^2$", "[red]|`c`"),
    *("a/b", "../../up", "a\\b", ".hidden"),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report over heads of hostile names, beside it the store with some files that are no records."""
    folder = tmp_path_factory.mktemp("bad")
    store = Store(folder / "results")
    for number, head in enumerate(HEADS):
        add(store, subject(head), "params", {"params_total": 1e6 + number, "params_head": 5e5 + number})
        add(store, subject(head), "accuracy", {"apb_star": 30.0 + number}, intervals={"apb_star": (20.0, 50.0)})
    good = add(store, subject(), "params", {"params_total": 4321.0})
    text = good.path.read_text(encoding="utf-8")
    for name, content in {
        "params-00000001.json": text[: len(text) // 2],
        "params-00000002.json": text.replace("4321", "NaN"),
        "params-00000003.json": text.replace(f'"schema": {SCHEMA}', '"schema": 99'),
        "params-00000004.json": '{"schema": 1, "<script>": 2}',
        "params-00000005.json": text.replace('"seconds"', '"<b>later</b>": 0, "seconds"'),
    }.items():
        assert content != text
        good.path.with_name(name).write_text(content, encoding="utf-8")
    assert cli.main(["report", "--results", str(folder / "results"), "--out", str(folder / "report")]) == 0
    return folder / "report"


def page(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("head", HEADS)
def test_a_hostile_name_is_text_everywhere(report: Path, head: str) -> None:
    assert f">{html.escape(head)}</th>" in page(report)
    with (report / "tables" / "cost-of-the-heads.csv").open(encoding="utf-8", newline="") as file:
        assert head in [row[0] for row in csv.reader(file)]
    lines = (report / "tables" / "cost-of-the-heads.tex").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.endswith(r"\\") and line.count("&") - line.count(r"\&") == 2]
    assert len(rows) == 2 + len(HEADS), "every head has a row of its columns, below their names"
    assert not re.search(r"(?<!\\)[%_#$]", "".join(rows).replace("$-$", ""))


def test_the_page_has_no_element_of_a_record(report: Path) -> None:
    text = page(report)
    assert "alert(1)</script>" not in text
    assert text.count("<script>") == text.count("</script>") == 2, "those of the page itself"
    assert "<b>later" not in text


def test_every_record_is_linked_to_where_it_lies(report: Path) -> None:
    links = re.findall(r'<a href="(\.\./[^"]*)">', page(report))
    found = {(report / unquote(html.unescape(link))).resolve() for link in links}
    assert len(found) == 2 * len(HEADS) + 1
    assert all(path.is_file() and path.is_relative_to((report.parent / "results").resolve()) for path in found)


def test_files_that_are_no_records_are_named_with_the_reason(report: Path) -> None:
    text = page(report)
    made = text[text.index("How this was made</h2>") :]
    for number, reason in enumerate(
        ("truncated", "invalid character", "The record has schema 99;", "&lt;script&gt;", "&lt;b&gt;later"), start=1
    ):
        name = f"params-0000000{number}.json"
        assert name in made
        row = made[made.index(name) :]
        assert reason in row[: row.index("</tr>")]
    assert "NaN" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_a_terminal_gets_some_tables_and_hears_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(Store(tmp_path / "results"), subject(), "params", {"params_total": 1e6, "odd": 1.0})
    add(Store(tmp_path / "results"), subject(), "ceiling", {"other": 0.5})
    monkeypatch.setattr(bench.cli.report, "_NUM_PRINTED", 1)
    assert cli.main(["report", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "report")]) == 0
    out, err = capsys.readouterr()
    shown = " ".join(out.split())  # a title has the width of its table
    written = tmp_path / "report" / "tables.md"
    first, second = re.findall(r"^## (.*)$", written.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert first in shown
    assert second not in shown
    assert f"Printed: the first 1 of 2 tables; all of them are in {written}" in err
