"""Scenes that several tests look at; making one takes a while."""

import pytest

from bench.glyphs import Scene, scene


@pytest.fixture(scope="session")
def scenes() -> list[Scene]:
    return [scene(11, index) for index in range(60)]
