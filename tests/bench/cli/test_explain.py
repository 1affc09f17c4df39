"""`explain`: what a number means, in words."""

import re

import pytest

from bench import cli
from tests.bench.fake_probe import FakeProbe

RECORD_OF = "heads/effseg-sps-sfm-r50_fpn-paper-none-seed0/params"


def test_explain(probe: FakeProbe, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["run", "heads", "--probes", "params", "--heads", "effseg"])
    capsys.readouterr()
    assert cli.main(["explain", RECORD_OF]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{RECORD_OF}\nParameters, total and trainable")
    assert re.search(r"\n  params_head +2906192 parameters\n", out)
    assert "\n  * The weights are random" in out
    assert "results/" in out
    assert cli.main(["explain", "heads/efseg/params"]) == 2
    assert f"expected one such as {RECORD_OF}; check the name" in capsys.readouterr().err
