"""Records that somebody else wrote, or a newer version, or a broken disk: whatever is in them, the rest is reported."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reports
from bench.store import Store

RECORDS = sorted((Path(__file__).parents[2] / "docs" / "records").glob("*/*/*/*.json"))
ODD = (None, True, "", ".", "a/b", "99", "x" * 300, "y" * 20_000, 0, -1, 0.5, 1e308, -1e308, 5e-324, 10**400, [], {})
MOST_CHANGES = 3


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document: the list or object that it is in, and its index or key."""
    for key in [*node] if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key])


def changed(content: bytes, random_: random.Random) -> bytes:
    """A record with some places left out, or with something odd there; values and conditions are changed most."""
    document = json.loads(content)
    for _ in range(random_.randint(1, MOST_CHANGES)):
        part = random_.choice([document, *[document["values"], document["protocol"]] * 2])
        node, key = random_.choice([*places(part)] or [*places(document)])
        if random_.random() < 0.4:
            del node[key]
        else:
            node[key] = random_.choice(ODD)
        if not isinstance(document.get("values"), list) or not isinstance(document.get("protocol"), dict):
            break
    return json.dumps(document).encode()


@pytest.mark.filterwarnings("ignore:constrained_layout")  # of names of 300 letters
def test_no_record_ends_a_report(tmp_path: Path) -> None:
    random_ = random.Random(0)
    for number, path in enumerate(RECORDS):
        folder = tmp_path / "results" / Path(*path.parts[-4:-1])
        folder.mkdir(parents=True, exist_ok=True)
        probe = path.stem.rpartition("-")[0].partition("-")[0]
        (folder / f"{probe}-{number:08x}.json").write_bytes(changed(path.read_bytes(), random_))
    reports.write(tmp_path / "results", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    store = Store(tmp_path / "results")
    num_read = len(list(store))
    assert num_read > 10, "some are still records"
    assert store.skipped, "and some are not"
    assert num_read + len(store.skipped) == len(RECORDS)
    assert f"{num_read} measurements" in page
    assert "Files that are no readable records, or lack what a table needs" in page
