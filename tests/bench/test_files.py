"""Checksums of files are those of their content, and of several those of all contents in a row."""

import hashlib
from pathlib import Path

import pytest

from bench.files import checksum, checksum_of


def test_a_checksum_names_the_content(tmp_path: Path) -> None:
    parts = [b"one", b"", b"two" * 200_000]
    paths = [tmp_path / str(place) for place in range(len(parts))]
    for path, content in zip(paths, parts, strict=True):
        path.write_bytes(content)
        assert checksum(path) == checksum_of(content) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert checksum(*paths) == checksum_of(b"".join(parts)) != checksum(*paths[::-1])
    with pytest.raises(OSError, match="No such file"):
        checksum(tmp_path / "none")
