"""`report`: what it says where there is nothing to report."""

from pathlib import Path

import pytest

from bench import cli
from tests.bench.fake_probe import FakeProbe


def test_an_empty_store_says_how_to_fill_it(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report"]) == 2
    assert "Make some, for example: run_bench.py run heads" in capsys.readouterr().err
    assert not Path("report").exists()
