"""The page of protocols names what records have."""

import re
from pathlib import Path

from bench.names import AXES

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"


def test_the_axes_are_those_of_the_code() -> None:
    _, table = PAGE.read_text(encoding="utf-8").split("| axis | its places |", maxsplit=1)
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table.split("\n\n", maxsplit=1)[0], re.MULTILINE)
    assert dict(rows) == AXES
