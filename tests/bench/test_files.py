"""Files appear whole or not at all; checksums are those of contents, of several files those of all in a row."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from bench.files import cache_folder, checksum, checksum_of, whole, write_whole


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


def test_a_user_without_a_home_has_a_cache_of_his_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    private = tmp_path / f"cache-of-{os.getuid()}"
    assert cache_folder() == private / "finegrained-bench"
    assert private.stat().st_mode & 0o777 == 0o700
    private.chmod(0o777)
    with pytest.raises(ValueError, match=r"is there, and others can write to it; .* set XDG_CACHE_HOME"):
        cache_folder()
