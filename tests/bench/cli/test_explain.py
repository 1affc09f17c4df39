"""`explain`: what a number means, in words."""

import re
from pathlib import Path

import pytest

from bench import cli
from bench.record import Scalar, Subject
from bench.store import Store
from tests.bench.fake_probe import FakeProbe
from tests.reports.invented import invented

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


def test_explain_says_where_values_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    protocol: dict[str, Scalar] = {"probe": "backend_speed", "version": 1}
    values = {"stage1_sfm_ms": 5.25}
    made = invented(Subject(backend="sps"), protocol, values, unit="ms", intervals={"stage1_sfm_ms": (5.0, 5.5)})
    cell = Store(tmp_path).add("sparsity", "0123abcd", made).cell
    assert cli.main(["explain", cell, "--results", str(tmp_path)]) == 0
    assert re.search(r"\n  ms \(stage 1, operation sfm\) +5\.25 ms +\[5, 5\.5\]\n", capsys.readouterr().out)
