"""CSV, Markdown, terminal and notebook: a table says the same in each, whatever the cells say. LaTeX: `test_latex`."""

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from reports.cells import Bounds, Number
from reports.layout import Column, Table
from reports.renderers.csv import comma_separated
from reports.renderers.markdown import document, markdown
from reports.renderers.terminal import terminal

NASTY = "<script>|%_&$#{}~^\\`*[x]*_a_ [red]</b>"
CELLS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).map(str.strip)


def made(head: str = NASTY) -> Table:
    """Two heads whose numbers have an interval, one of them beside it for people."""
    return Table(
        title=f"Table of {head}",
        columns=(Column(name="Head"), Column(name="AP*", digits=1, best="highest"), Column(name="95%")),
        rows=(
            (head, Number(100 / 3, interval=(32.0, 34.123456789)), Bounds("32.0-34.1")),
            ("b", Number(30.0), Bounds("")),
            ("c", None, None),
        ),
        caption=(f"Said of {head}.", "AP*, APB*: * and _ stay."),
    )


def parsed_csv(table: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(comma_separated(table), newline=""), strict=True))


def html(table: Table) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown(table))


def plain(markup: str) -> list[str]:
    """The texts of the cells of a page."""
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", markup)
    texts = [re.sub(r"</?strong>", "", cell) for cell in cells]
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        texts = [text.replace(entity, character) for text in texts]
    return texts


def test_csv_has_all_digits_and_the_bounds() -> None:
    assert parsed_csv(made()) == [
        ["Head", "AP*", "AP* low", "AP* high"],
        [NASTY, repr(100 / 3), "32.0", "34.123456789"],
        ["b", "30.0", "", ""],
        ["c", "", "", ""],
    ]
    assert comma_separated(made()).count("\r\n") == 4


def test_csv_has_no_rows_that_only_show_intervals_and_no_name_twice() -> None:
    columns = (Column(name="AP", digits=1), Column(name="paper", digits=1), Column(name="FPS", digits=1))
    table = Table(
        title="t",
        columns=(*columns, Column(name="paper", digits=1)),
        rows=((Number(1.5, interval=(1.0, 2.0)), 1.0, 2.0, 3.0), (Bounds("[1.0, 2.0]"), "", "", None)),
        caption=(),
    )
    assert parsed_csv(table) == [
        ["AP", "AP low", "AP high", "AP paper", "FPS", "FPS paper"],
        ["1.5", "1.0", "2.0", "1.0", "2.0", "3.0"],
    ]


@given(CELLS)
def test_csv_gives_back_what_it_was_given(head: str) -> None:
    assert parsed_csv(made(head))[1][0] == head


@given(CELLS)
def test_markdown_shows_what_it_was_given(head: str) -> None:
    texts = plain(html(made(head)))
    assert texts[:3] == ["Head", "AP*", "95%"]
    assert texts[3] == " ".join(head.split("\n"))
    assert texts[4:6] == ["33.3", "32.0-34.1"]


def test_markdown_has_the_best_in_bold_and_no_markup_of_names() -> None:
    page = html(made())
    assert "<strong>33.3</strong>" in page
    assert page.count("<strong>") == 1
    assert "<em>" not in page
    assert "<script" not in page
    assert document([made(), made()]).count("## Table") == 2


def test_terminal_shows_names_as_they_are_and_the_best_in_bold() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    console.print(terminal(made()))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert NASTY in shown
    assert "\x1b[1m33.3" in shown


def test_a_notebook_shows_names_as_they_are_and_the_best_in_bold() -> None:
    table = made()
    shown = table._repr_html_()
    assert plain(re.sub("</?b>", "", shown)) == [
        *(column.name for column in table.columns),
        *(text for row in table.texts() for text in row),
    ]
    assert re.findall("<b>(.*?)</b>", shown) == ["33.3"]
    assert "<script" not in shown
    assert shown.endswith("<p>AP*, APB*: * and _ stay.</p>")
