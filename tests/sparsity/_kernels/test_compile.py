"""Compiling on first use: the cache, and what happens where there is no compiler or no cache."""

import hashlib
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sparsity._kernels import _compile, native
from sparsity._kernels._compile import CannotCompile, build, load

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc").split()[0]) is None, reason="there is no C compiler"
)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A C file with a header, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "tiny.h").write_text("#define ANSWER 42\n")
    path = tmp_path / "tiny.c"
    path.write_text('#include "tiny.h"\nint answer(void) { return ANSWER; }\n')
    return path


def compilations(caplog: pytest.LogCaptureFixture) -> int:
    return sum("once for this machine" in record.message for record in caplog.records)


@needs_compiler
def test_it_compiles_once_and_says_so(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert load(source).answer() == 42
    assert compilations(caplog) == 1
    assert build(source) == build(source)
    assert compilations(caplog) == 1
    names = sorted(path.suffix for path in build(source).parent.iterdir())
    assert names == [".lock", ".sha256", ".so"]


@needs_compiler
def test_a_changed_header_is_another_object(source: Path) -> None:
    before = build(source)
    source.with_suffix(".h").write_text("#define ANSWER 43\n")
    assert build(source) != before
    assert load(source).answer() == 43
    assert build(source, ("-O0",)) != build(source)


@needs_compiler
@pytest.mark.parametrize("damage", ["truncated", "foreign", "no checksum", "binary checksum"])
def test_a_damaged_object_is_compiled_again(source: Path, damage: str) -> None:
    target = build(source)
    content = target.read_bytes()
    match damage:
        case "truncated":
            target.write_bytes(content[:100])
        case "foreign":
            target.write_bytes(b"something else")
        case "no checksum":
            target.with_suffix(".sha256").unlink()
        case _:
            target.with_suffix(".sha256").write_bytes(b"\xff\xfe")
    assert load(source).answer() == 42
    assert _compile._is_intact(target)


@needs_compiler
def test_processes_at_the_same_time_compile_once(source: Path, tmp_path: Path) -> None:
    """A compiler that counts its calls, and is slow."""
    compiler = tmp_path / "counting"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *-shared*) sleep 0.3; echo call >> "{tmp_path}/calls";; esac\nexec cc "$@"\n'
    )
    compiler.chmod(0o755)
    os.environ["CC"] = str(compiler)
    try:
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=build, args=(source,)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert (tmp_path / "calls").read_text() == "call\n"
        assert load(source).answer() == 42
    finally:
        del os.environ["CC"]


def test_without_a_compiler(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotCompile, match="no C compiler 'cc' on the PATH; install"):
        build(source)


@needs_compiler
def test_without_a_cache(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be: root may write into a read-only folder."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(CannotCompile, match=r"cannot be used: .*cannot be used: .*; set XDG_CACHE_HOME"):
        build(source)


@needs_compiler
def test_what_others_could_have_put_into_the_cache_is_not_loaded(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An object with its checksum, where anybody may write: ours is compiled into a folder of this user, and used."""
    planted = build(source)
    source.with_name("evil.c").write_text("int answer(void) { return 666; }\n")
    shutil.copy(build(source.with_name("evil.c")), planted)
    planted.with_suffix(".sha256").write_text(hashlib.sha256(planted.read_bytes()).hexdigest())
    planted.parent.chmod(0o777)
    assert load(source).answer() == 42
    assert build(source).parent == tmp_path / "temporary" / f"finegrained-bench-{os.geteuid()}"
    assert f"others can write to {planted.parent} (mode 777)" in caplog.text
    assert "set XDG_CACHE_HOME to a folder that only you can write to" in caplog.text


@needs_compiler
def test_a_lock_that_is_a_link_leaves_what_it_leads_to(source: Path, tmp_path: Path) -> None:
    target = build(source)
    (tmp_path / "mine").write_text("precious")
    target.unlink()
    target.with_suffix(".lock").unlink()
    target.with_suffix(".lock").symlink_to(tmp_path / "mine")
    assert build(source).parent != target.parent
    assert (tmp_path / "mine").read_text() == "precious"


@needs_compiler
def test_no_umask_opens_the_cache_to_others(source: Path) -> None:
    before = os.umask(0)
    try:
        target = build(source)
    finally:
        os.umask(before)
    for path in (target.parent.parent, target.parent, *target.parent.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


@needs_compiler
def test_a_cache_that_was_filled_need_not_be_writable(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = build(source)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("wrote into the cache"))
    assert build(source) == target


@needs_compiler
def test_what_the_compiler_says_is_told(source: Path) -> None:
    source.write_text("int answer(void) { return nothing; }\n")
    with pytest.raises(CannotCompile, match=r"failed on tiny.c: (.|\n)*nothing"):
        build(source)
    assert not list(source.parent.glob("cache/**/*.so"))


def test_the_kernel_gives_the_reason_once_and_does_not_fail(tmp_path: Path) -> None:
    """In a process of its own: what was loaded before stays loaded."""
    script = (
        "import torch; from sparsity._kernels import native;"
        "print(native.unavailable(torch.device('cpu'), torch.float32))"
    )
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=Path(native.__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("there is no C compiler")
