"""The page is one well-formed file that loads nothing, escapes everything and sorts its tables."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from bench import cli
from bench.record import encode
from bench.store import Entry, Store
from reports.cells import Number, Source
from reports.figures import Figure
from reports.layout import Column, Table
from reports.page import page as full_page
from tests.reports.stores import MACHINE, add, add_pictures, subject

NUM_SCRIPTS = 2
"""Those of the page itself."""

_VOID = {"meta", "link", "br", "img", "hr"}

TABLE = Table(
    title="<script>alert(1)</script> & 100%",
    columns=(Column(name="Head"), Column(name="AP", digits=1)),
    rows=(("b_1", 41.26), ("", "[40.1, 42.5]"), ("<b>", None), ("a", 9.0)),
    caption=("Read & <weep>.",),
)
FIGURE = Figure(name="f", title="A figure", svg='<svg role="img"><g id="f-x"/></svg>', caption=("Seen.",))


def page(
    tables: Sequence[Table],
    figures: Sequence[Figure] = (),
    made: Sequence[Table] = (),
    *,
    short: Sequence[str] = (),
    entries: Sequence[Entry] = (),
    folder: Path = Path("report"),
) -> str:
    return full_page(short=short, tables=tables, figures=figures, made=made, entries=entries, folder=folder)


def test_a_difference_has_a_colour_by_its_sign_where_its_interval_leaves_out_zero() -> None:
    numbers = (Number(1.0, interval=(0.5, 2.0)), Number(-1.0, interval=(-2.0, -0.5)), Number(0.5, interval=(-0.5, 1.5)))
    columns = (Column(name="Head"), *(Column(name=name, digits=1, tinted=True) for name in "abc"))
    text = page([Table(title="Pairs", columns=columns, rows=(("head", *numbers),), caption=())])
    assert re.findall(r'<td class="(number[a-z ]*)" data-key="([^"]+)"', text) == [
        ("number better", "1.0"),
        ("number worse", "-1.0"),
        ("number", "0.5"),
    ]


class Outline(HTMLParser):
    """Tags that were opened and closed, ids, links and text; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value is not None]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_well_formed_and_closed_in_itself() -> None:
    text = page([TABLE, TABLE], [FIGURE], [TABLE])
    outline = Outline(text)
    assert len(outline.ids) == len(set(outline.ids))
    wanted = {value for name, value in outline.attributes if name == "aria-labelledby"}
    wanted |= {value[1:] for name, value in outline.attributes if name == "href" and value is not None}
    assert wanted <= set(outline.ids)
    assert all(value is not None and value.startswith("#") for name, value in outline.attributes if name == "href")
    assert not [value for name, value in outline.attributes if name == "src"]
    assert "url(" not in text


def test_everything_from_records_is_escaped() -> None:
    text = page([TABLE])
    assert Outline(text).tags.count("script") == NUM_SCRIPTS
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; 100%" in text
    assert "Read &amp; &lt;weep&gt;." in text
    assert '<th scope="row" data-key="&lt;b&gt;">&lt;b&gt;</th>' in text


def test_figures_are_drawings_not_text() -> None:
    text = page([], [FIGURE])
    assert FIGURE.svg in text
    assert '<a href="#figure-f">A figure</a>' in text


def test_a_row_without_a_name_stays_below_the_one_above() -> None:
    bodies = re.findall(r"<tbody>(.*?)</tbody>", page([TABLE]), flags=re.DOTALL)
    assert [body.count("<tr>") for body in bodies] == [2, 1, 1]
    assert 'data-key="41.26">41.3<' in bodies[0], "sorted by what was measured, not by what is shown"


@pytest.mark.parametrize(
    ("column", "clicks", "order"),
    [
        (0, 1, ["<b>", "a", "b_1"]),
        (1, 1, ["a", "b_1", "<b>"]),
        (1, 2, ["b_1", "a", "<b>"]),
        (1, 3, ["a", "b_1", "<b>"]),
    ],
)
def test_sorting(column: int, clicks: int, order: list[str]) -> None:
    """The page's own script on stand-ins for the browser's objects."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: the page's script cannot be run; install nodejs")
    script = re.findall(r"<script>(.*?)</script>", page([TABLE]), flags=re.DOTALL)[0]  # the second one is of notes
    keys = [["b_1", "41.26"], ["<b>", ""], ["a", "9.0"]]
    stand_in = f"""
    const cells = keys => keys.map(key => ({{ dataset: {{ key }} }}));
    const bodies = {json.dumps(keys)}.map(keys => ({{ rows: [{{ cells: cells(keys) }}] }}));
    const table = {{ tBodies: bodies, append(...sorted) {{ this.tBodies = sorted; }} }};
    const row = {{}};
    const heads = [0, 1].map(cellIndex => ({{
      cellIndex, parentElement: row, sort: null, closest: () => table,
      getAttribute() {{ return this.sort; }}, setAttribute(name, value) {{ this.sort = value; }},
      removeAttribute() {{ this.sort = null; }},
    }}));
    row.cells = heads;
    const buttons = heads.map(head => ({{ parentElement: head, addEventListener(name, act) {{ this.click = act; }} }}));
    const document = {{ querySelectorAll: () => buttons }};
    {script}
    for (let click = 0; click < {clicks}; click++) buttons[{column}].click();
    const shown = table.tBodies.map(body => body.rows[0].cells[0].dataset.key);
    console.log(JSON.stringify([shown, heads.map(head => head.sort)]));
    """
    done = subprocess.run([node, "-e", stand_in], capture_output=True, text=True, check=True)
    shown, sorts = json.loads(done.stdout)
    assert shown == order
    assert sorts[column] == ("ascending" if clicks % 2 else "descending")
    assert sorts[1 - column] is None


def test_rows_below_a_heading_stay_with_it_when_sorted() -> None:
    rows = (("A - B", None), ("  seed 0", 1.0), ("  seed 1", 2.0), ("C - D", 3.0))
    table = Table(title="t", columns=TABLE.columns, rows=rows, caption=())
    bodies = re.findall(r"<tbody>(.*?)</tbody>", page([table]), flags=re.DOTALL)
    assert [body.count("<tr>") for body in bodies] == [3, 1]


def test_the_best_is_bold() -> None:
    columns = (Column(name="Head"), Column(name="AP", digits=1, best="highest"))
    text = page([Table(title="t", columns=columns, rows=(("a", 41.26), ("b", 40.0)), caption=())])
    assert re.findall(r"<strong>\s*(.*?)\s*</strong>", text) == ["41.3"]


def test_a_number_leads_to_its_record_and_from_there_to_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "my results")
    entry = add(store, subject("<b>50%&_"), "speed", {"fps_paper": 3.0})
    unused = add(store, subject("mask_rcnn"), "speed", {"fps_paper": 77.0})
    source = Source(record="/".join(entry.path.parts[-4:]), protocol={"probe": "speed"}, machine="m", started="2026")
    rows = (("a", Number(3.0, interval=(2.0, 4.0), source=source)), ("b", 5.0))
    table = Table(title="t", columns=TABLE.columns, rows=rows, caption=())
    text = page([table], entries=[entry, unused], folder=tmp_path / "report")
    assert '<a href="#record-1" title="interval 2 to 4; speed: m; 2026">3.0</a>' in text
    assert text.count('id="record-') == 1, "records that no number is from are not in the page"
    (link,) = re.findall(r'<a href="(\.\./[^"]*)">', text)
    assert (tmp_path / "report" / unquote(link)).resolve() == entry.path.resolve()
    assert "&lt;b&gt;50%&amp;_-small_fpn" in text
    assert (
        html.unescape(re.findall(r"<pre>(.*?)</pre>", text, flags=re.DOTALL)[0])
        == encode(entry.record, indent=1).decode()
    ), "the record in full"


def test_results_of_several_machines_are_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = add(store, subject(), "speed", {"fps_paper": 3.0})
    other = replace(
        entry, record=msgspec.structs.replace(entry.record, machine=msgspec.structs.replace(MACHINE, cpu="<b>"))
    )
    assert "2 machines: b-2c, fast-2c." in page([], entries=[entry, other])
    assert "machines:" not in page([], entries=[entry, entry])


def test_the_answer_comes_first() -> None:
    text = page([TABLE], short=["Take <this>."])
    assert text.index("Take &lt;this&gt;.") < text.index('id="table-1"')
    assert "In short" not in page([TABLE])


def test_a_report_has_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "results")
    hostile = subject("<script>x & y")
    add(store, hostile, "predictions", {"predictions": 0.5})
    add_pictures(store, hostile, {0: 0.5})
    assert cli.main(["report", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "report")]) == 0
    assert "index.html" in capsys.readouterr().err
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    outline = Outline(text)
    assert outline.tags.count("script") == NUM_SCRIPTS
    assert {"figure-masks", "table-1", "made", "made-1"} <= set(outline.ids)
    assert "sha256:w" in text
    assert len(text) < 1_000_000


def test_of_two_records_of_a_cell_the_newest_counts_and_one_with_nan_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    add(store, subject(), "predictions", {"predictions": 0.111})
    newest = add(store, subject(), "predictions", {"predictions": 0.222}, second=1)
    broken = newest.path.with_name("predictions-00000000.json")
    broken.write_text(newest.path.read_text(encoding="utf-8").replace("0.222", "NaN"), encoding="utf-8")
    assert cli.main(["report", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "0.222" in text
    assert "0.111" not in text
    assert "NaN" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
