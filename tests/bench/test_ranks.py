"""Ranks: real processes of torchrun leave behind what one process does, whoever fails, and nobody hangs."""

import json
import multiprocessing.connection
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import ranks
from bench.record import Failure
from bench.store import Entry, Store
from tests.bench import ranked_run
from tests.bench.meeting import meet

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def torchrun(results: Path, coco: Path) -> None:
    """Run the script on two ranks."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, *TORCHRUN, ranked_run.__file__, str(results), str(coco)]
    before = shutil.copytree(results, results.with_name(f"{results.name}_before"), dirs_exist_ok=True)
    for _ in range(2):
        done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        # On a busy machine torch now and then aborts while the interpreter ends, when everything is written.
        if "terminate called without an active exception" not in done.stderr:
            break
        shutil.rmtree(results)
        shutil.copytree(before, results)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, coco_mini: Path) -> tuple[Path, Path]:
    """The results of one process, and of two ranks on the same data."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    ranked_run.main(one, coco_mini)
    torchrun(two, coco_mini)
    return one, two


def entries(results: Path) -> dict[tuple[str, str, str], Entry]:
    return {(entry.recipe, entry.record.subject.name, entry.record.probe): entry for entry in Store(results)}


def test_two_ranks_measure_what_one_does(pair: tuple[Path, Path]) -> None:
    one, two = (entries(results) for results in pair)
    assert one.keys() == two.keys()
    for cell, entry in one.items():
        if "rank1" in cell[1]:
            continue  # there is no rank 1 to fail
        record, other = entry.record, two[cell].record
        assert record.values == other.values, cell
        assert record.protocol == other.protocol
        assert record.files == other.files
        errors = [None if each.error is None else (each.error.type, each.error.message) for each in (record, other)]
        assert errors[0] == errors[1]
        arrays, others = entry.arrays(), two[cell].arrays()
        assert arrays.keys() == others.keys()
        for name, array in arrays.items():
            assert array.tobytes() == others[name].tobytes(), (cell, name)
    accuracy = two[("models", "mask_rcnn-small_fpn-small-none-seed0", "accuracy_true_boxes")].record
    assert accuracy.error is None
    assert accuracy.get("images").value == 3


def test_a_failing_rank_fails_the_cell_and_only_it(pair: tuple[Path, Path]) -> None:
    records = {(entry.record.subject.head, entry.record.probe): entry.record for entry in entries(pair[1]).values()}
    for head in ("rank0_before", "rank1_before", "rank0_after", "rank1_after", "all_before"):
        error = records[(head, "shared")].error
        assert error is not None, head
        assert (error.type, error.message) == ("RuntimeError", f"out of memory {head.split('_')[1]} the ranks met")
        assert error.frames[-1].endswith("in _fail")
    for head in ("fine", "fine_again"):
        assert records[(head, "shared")].get("total").value == 45
    # What is not shared never ran on rank 1.
    assert records[("rank1_before", "alone")].get("total").value == 45
    assert records[("rank0_after", "alone")].error is not None


def test_all_ranks_see_the_same_outcomes_and_agree_on_what_is_done(pair: tuple[Path, Path]) -> None:
    results = pair[1]
    first, second = (json.loads((results / f"rank{rank}.json").read_bytes()) for rank in range(2))
    assert first == second
    assert all(measured for _, measured, _ in first)
    again = json.loads((results / "again1.json").read_bytes())
    assert again
    failing = {"rank0_before", "rank1_before", "rank0_after", "rank1_after", "all_before", "nan"}
    for cell, measured, _ in again:
        assert measured == any(f"/{head}-" in cell for head in failing) or "rank1" in cell, cell


def test_without_torchrun_there_is_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (ranks.rank(), ranks.world_size()) == (0, 1)
    assert list(ranks.shard((3, 4, 5))) == [3, 4, 5]
    assert ranks.gather("value") == ["value"]
    assert ranks.from_first(lambda: 7) == 7
    ranks.tell_failure(Failure(type="E", message="", frames=()))
    assert ranks.device("cuda") == "cuda"


def test_ranks_share_out_and_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for rank in range(3):
        for name, value in (("RANK", rank), ("WORLD_SIZE", 3), ("LOCAL_RANK", rank)):
            monkeypatch.setenv(name, str(value))
        shares += list(ranks.shard(range(10)))
        assert len(ranks.shard(range(10))) in (3, 4)
        assert ranks.device("cuda") == f"cuda:{rank}"
        assert ranks.device("cuda:5") == "cuda:5"
        assert ranks.device("cpu") == "cpu"
    assert sorted(shares) == list(range(10))


def test_launched_ranks_meet(tmp_path: Path) -> None:
    out = tmp_path / "brought.json"
    assert ranks.launch(2, meet, [str(out), "end"]) == 0
    assert json.loads(out.read_text()) == [[0, 2, "1"], [1, 2, "1"]]


def test_ranks_that_end_together_are_all_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have ended before the first is looked at: nobody is left to wait for."""
    wait = multiprocessing.connection.wait

    def late(sentinels: Sequence[int]) -> list[object]:
        assert sentinels
        while not (tmp_path / "brought.json").is_file():
            time.sleep(0.1)
        time.sleep(1)
        return list(wait(sentinels))

    monkeypatch.setattr(multiprocessing.connection, "wait", late)
    assert ranks.launch(2, meet, [str(tmp_path / "brought.json"), "fail"]) == 1


@pytest.mark.parametrize(("deed", "code"), [("die", -signal.SIGKILL), ("raise", 70), ("leave", 2)])
def test_a_launched_rank_that_dies_and_the_first_that_leaves_end_the_others(
    tmp_path: Path, deed: str, code: int
) -> None:
    assert ranks.launch(2, meet, [str(tmp_path / "brought.json"), deed]) == code
    assert not list(tmp_path.iterdir())


def test_launched_ranks_end_with_the_process_that_launched_them(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = Path(__file__).with_name("waiting_ranks.py")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script, pipe], env=environment) as launching, pipe.open("rb") as said:
        assert sorted(said.read(1) + said.read(1)) == sorted(b"01")
        launching.kill()
        assert said.read() == b""  # to the end, which comes when no rank holds it open
