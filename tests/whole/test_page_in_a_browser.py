"""The page in a real browser: it sorts, fits narrow and wide windows, loads nothing, and everybody can read it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from bench import cli
from bench.record import Failure
from tests.reports.embedded_records import demo_records, keep, record, trained

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright; it comes with the extra `test`")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe; it comes with the extra `test`")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")
SORTED = "#table-1"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a store with all kinds of tables, a name that is none, a failure and two machines."""
    folder = tmp_path_factory.mktemp("browser")
    hostile = trained("<script>alert(1) 50%&_")
    failed = record(trained("effseg"), "trace", {})
    keep(
        folder / "results",
        *demo_records(),
        record(hostile, "params", {"params_total": 1e6}),
        record(trained("effseg"), "speed", {"fps_paper": 30.0}, cpu="another", second=1),
        msgspec.structs.replace(failed, error=Failure(type="ValueError", message="It <b>broke</b>.", frames=())),
    )
    assert cli.main(["report", "--results", str(folder / "results"), "--out", str(folder / "report")]) == 0
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    found = next((path for name in BROWSERS if (path := shutil.which(name)) is not None), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed; install Debian's package chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def shown(browser: "playwright.Browser", report: Path) -> Iterator["playwright.Page"]:
    """The page, in a context that keeps whatever goes wrong; nothing may."""
    context = browser.new_context(offline=True)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("requestfailed", lambda request: wrong.append(request.url))
    tab.on("request", lambda request: None if request.url.startswith(report.as_uri()) else wrong.append(request.url))
    tab.goto(report.as_uri())
    yield tab
    context.close()
    assert wrong == []


def test_nothing_leaves_the_window(shown: "playwright.Page") -> None:
    for width in WIDTHS:
        shown.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            shown.emulate_media(color_scheme=scheme)
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        assert shown.evaluate("document.documentElement.scrollWidth") <= width, "with all records open"
        outside = "[...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll, svg') "
        outside += f"&& each.getBoundingClientRect().right > {width} + 0.5).map(each => each.outerHTML.slice(0, 80))"
        assert shown.evaluate(outside) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_everybody_can_read_it(shown: "playwright.Page", scheme: str) -> None:
    shown.emulate_media(color_scheme=scheme)
    results = axe.Axe().run(shown)
    bad = [each for each in results.response["violations"] if each["impact"] in ("serious", "critical")]
    assert bad == [], results.generate_report()


def test_colours_follow_the_scheme(shown: "playwright.Page") -> None:
    found = []
    for scheme in SCHEMES:
        shown.emulate_media(color_scheme=scheme)
        ink = "getComputedStyle(document.querySelector('figure svg [style*=\"currentColor\"]')).color"
        paper = "getComputedStyle(document.body).backgroundColor"
        found.append([sum(map(int, shown.evaluate(each)[4:-1].split(", "))) for each in (ink, paper)])
    (ink, paper), (dark_ink, dark_paper) = found
    assert ink < 200 < 600 < paper
    assert dark_paper < 200 < 600 < dark_ink


def test_sorting_by_click_and_by_key(shown: "playwright.Page") -> None:
    column = shown.locator(f"section:has({SORTED}) thead th").nth(1)
    cells = shown.locator(f"section:has({SORTED}) tbody tr td:nth-child(2)")
    unsorted = [float(text) for text in cells.all_inner_texts()]
    assert column.get_attribute("aria-sort") is None
    column.locator("button").click()
    assert [float(text) for text in cells.all_inner_texts()] == sorted(unsorted)
    assert column.get_attribute("aria-sort") == "ascending"
    column.locator("button").focus()
    shown.keyboard.press("Enter")
    assert [float(text) for text in cells.all_inner_texts()] == sorted(unsorted, reverse=True)
    assert column.get_attribute("aria-sort") == "descending"
    shown.keyboard.press("Tab")
    shown.keyboard.press("Space")
    assert column.get_attribute("aria-sort") is None, "only one column is the sorted one"
    assert shown.locator(f"section:has({SORTED}) thead th[aria-sort]").count() == 1


def test_links_lead_somewhere(shown: "playwright.Page", report: Path) -> None:
    links = set(shown.eval_on_selector_all("a[href]", "all => all.map(each => each.getAttribute('href'))"))
    ids = set(shown.eval_on_selector_all("[id]", "all => all.map(each => each.id)"))
    files = {link for link in links if not link.startswith("#")}
    assert {link[1:] for link in links - files} <= ids
    assert files
    for link in files:
        assert (report.parent / unquote(link)).is_file(), link


def test_a_number_tells_its_protocol_and_opens_its_record(shown: "playwright.Page") -> None:
    link = shown.locator("td a").first
    note = shown.locator("#note")
    assert not note.is_visible()
    link.focus()
    assert note.is_visible()
    assert "interval " in note.inner_text()
    assert "version 1" in note.inner_text()
    assert link.get_attribute("aria-describedby") == "note"
    shown.keyboard.press("Escape")
    assert not note.is_visible()
    link.hover()
    assert note.is_visible()
    box = note.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    shown.mouse.move(0, 0)
    assert not note.is_visible()
    target = shown.locator(str(link.get_attribute("href")))
    assert not target.is_visible()
    link.click()
    assert target.is_visible()
    assert '"protocol"' in target.inner_text()


def test_names_from_records_are_text(shown: "playwright.Page") -> None:
    text = shown.inner_text("main")
    assert "<script>alert(1) 50%&_" in text
    assert "It <b>broke</b>." in text
    assert "2 machines: another-2c, epyc-2c." in shown.inner_text("header")


def test_print_leaves_out_what_paper_cannot_do(shown: "playwright.Page") -> None:
    shown.emulate_media(media="print")
    assert not shown.locator("nav").is_visible()
    assert not shown.locator(".records").is_visible()
    assert shown.locator("#made").is_visible()
    assert shown.evaluate("document.documentElement.scrollWidth") <= shown.evaluate("innerWidth")
