"""`list`: every name with its line."""

import pytest

from bench import cli


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("effseg", "sps", "dense_sfm", "params", "modules", "coco", "r50_fpn", "torchvision_v2"):
        assert f"\n  {name} " in out
    assert cli.main(["list", "recipes"]) == 0
    out = capsys.readouterr().out
    assert "\n    main/effseg-sps-sfm-r50_defenc-paper-none-seed0/params\n" in out
    assert "\n  pointwise" not in out
