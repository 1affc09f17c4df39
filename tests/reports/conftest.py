"""Shared by the tests of what is shown."""

import pytest

from reports.select import guard


@pytest.fixture(autouse=True)
def _every_mistake_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record of a test is at fault for what a table or figure cannot make of it, unless the test says so."""
    monkeypatch.setattr(guard, "CAUGHT", ())
