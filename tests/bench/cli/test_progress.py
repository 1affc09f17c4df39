"""What moves on a terminal while a run works."""

import re

import pytest

from bench import cli
from tests.bench.fake_probe import FakeProbe


def test_a_terminal_sees_what_is_at_work(
    probe: FakeProbe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes rich take a stream for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    cli.main(["run", "heads", "--probes", "params", "--heads", "effseg"])
    err = capsys.readouterr().err
    assert re.search(r"\[1/1\] heads/effseg\S+/params  measuring; left: time unknown\s*\r", err)
    assert err.index("measuring") < err.index("\x1b[2K") < err.index(" s\n")
