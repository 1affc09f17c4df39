"""One version in all places, and a changelog that knows the version of every probe."""

import importlib
import re
from pathlib import Path

import yaml  # fvcore brings it

import bench
from bench import catalog

ROOT = Path(__file__).parents[2]
RELEASES = re.findall(
    r"^## (\S+) \((\d{4}-\d\d-\d\d)\)\n(.*?)(?=^## |\Z)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL
)
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_newest_release_is_this_version() -> None:
    version, date, _ = RELEASES[0]
    assert version == bench.__version__ == CITATION["version"]
    assert date == str(CITATION["date-released"])
    assert [each for _, each, _ in RELEASES] == sorted((each for _, each, _ in RELEASES), reverse=True)


def test_the_newest_release_has_the_version_of_every_probe() -> None:
    """A probe whose `VERSION` was raised needs its line here: a row of the table, and what moved."""
    listed = {
        name: int(version) for name, version in re.findall(r"^\| `(\w+)` \| (\d+) \|$", RELEASES[0][2], re.MULTILINE)
    }
    probes = catalog.plugins("bench.probes")
    assert listed == {name: importlib.import_module(f"bench.probes.{name}").VERSION for name in probes}


def test_the_citation_has_what_the_format_asks_for() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    for work in (CITATION, *CITATION["references"]):
        assert work["title"]
        assert work["type"]
        assert all(author["name"] for author in work["authors"])
    assert CITATION["message"]
    assert CITATION["license"] == "Apache-2.0"
