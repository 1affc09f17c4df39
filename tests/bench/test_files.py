"""Files appear whole or not at all; checksums are those of contents, of several files those of all in a row."""

import hashlib
from pathlib import Path

import pytest

from bench.files import checksum, checksum_of, whole, write_whole


def test_a_checksum_names_the_content(tmp_path: Path) -> None:
    parts = [b"one", b"", b"two" * 200_000]
    paths = [tmp_path / str(place) for place in range(len(parts))]
    for path, content in zip(paths, parts, strict=True):
        path.write_bytes(content)
        assert checksum(path) == checksum_of(content) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert checksum(*paths) == checksum_of(b"".join(parts)) != checksum(*paths[::-1])
    with pytest.raises(OSError, match="No such file"):
        checksum(tmp_path / "none")


def test_a_file_appears_when_it_is_written_and_stays_as_it_was_when_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with whole(path) as place:
        place.write_bytes(b"first")
        assert not path.exists()
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(OSError, match="no space"):
        _fill_the_disk(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"second"


def _fill_the_disk(path: Path) -> None:
    with whole(path) as place:
        place.write_bytes(b"thi")
        raise OSError("no space")
