"""Shared by the tests of bench: a fake in the place of all probes."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.planning import plan
from tests.bench.fake_probe import FakeProbe


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeProbe:
    """A fake behind every name, and an empty working directory."""
    fake = FakeProbe()

    def load(names: Iterable[str]) -> dict[str, FakeProbe]:
        return dict.fromkeys(names, fake)

    monkeypatch.setattr(plan, "load_probes", load)
    monkeypatch.chdir(tmp_path)
    return fake
