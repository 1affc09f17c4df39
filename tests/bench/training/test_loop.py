"""Training: the same on one rank and on two, through kills and restarts; it learns, and stops where it should."""

import dataclasses
import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from PIL import Image

from bench import files
from bench.data.coco import open_images
from bench.data.layout import coco_layout
from bench.data.samples import CocoDataset, Sample, Skipped
from bench.model.tensors_file import read_tensors
from bench.training import TrainingStopped, checkpoint, folder, train
from bench.training.checkpoint import steps
from bench.training.log import read_log
from bench.training.recipe import Cosine
from bench.training.step import computes_in
from tests.bench.training import trained_run
from tests.bench.training.made_up import RECIPE, Instead, Shapes, model, task

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
HEADS = ("point_rend", "effseg")  # one draws points at random, the other shares a budget

pytestmark = pytest.mark.usefixtures("unchecked")


def losses(directory: Path) -> list[dict[str, float]]:
    lines = read_log(directory / "log.jsonl")
    assert [line.step for line in lines] == list(range(1, len(lines) + 1))
    return [{**line.losses, "norm": line.gradient_norm, "rate": line.learning_rate} for line in lines]


def command(*arguments: object, torchrun: bool = False) -> list[str]:
    return [sys.executable, *(TORCHRUN if torchrun else ()), trained_run.__file__, *map(str, arguments)]


def test_two_ranks_learn_what_one_does(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    trained_run.main(one, 8, -1, list(HEADS))
    done = subprocess.run(
        command(two, 8, -1, *HEADS, torchrun=True),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "loss" not in done.stderr  # no bar where nobody looks
    for head in HEADS:
        alone, together = losses(one / head), losses(two / head)
        assert len(alone) == len(together) == 8
        for expected, actual in zip(alone, together, strict=True):
            assert actual == pytest.approx(expected, rel=1e-8, abs=1e-8)
        assert sum(alone[-1][name] for name in ("class", "box", "selection")) > 0


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    trained_run.main(whole, 12, -1, ["effseg"])
    when = random.randint(1, 10)  # any moment must do
    log = broken / "effseg" / "log.jsonl"
    with subprocess.Popen(command(broken, 12, -1, "effseg"), cwd=ROOT, env=ENVIRONMENT) as process:
        while process.poll() is None and not (log.is_file() and log.read_bytes().count(b"\n") >= when):
            time.sleep(0.005)
        process.kill()
    assert len(read_log(log)) < 12
    trained_run.main(broken, 12, -1, ["effseg"])
    assert losses(broken / "effseg") == losses(whole / "effseg")
    ours, theirs = (read_tensors(run / "effseg" / "weights.safetensors")[0] for run in (broken, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_rank_ends_the_job_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    arguments = command(tmp_path, 9, 1, "mask_rcnn", torchrun=True)
    done = subprocess.run(arguments, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr  # torchrun, about the rank
    assert "another rank has gone" in done.stderr, done.stderr
    assert f"The checkpoint after step 4 is in {tmp_path}/mask_rcnn" in done.stderr
    assert steps(tmp_path / "mask_rcnn") == [4]
    trained_run.main(tmp_path, 9, -1, ["mask_rcnn"])
    assert len(losses(tmp_path / "mask_rcnn")) == 9


def test_losses_fall(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, num_steps=60, images_per_step=2, schedule=Cosine(), true_boxes=1.0)
    train(model(task()), Shapes(num_images=2), recipe, tmp_path, task())
    curve = losses(tmp_path)
    for name in ("selection", "class", "mask_28"):  # that of boxes is a sum over ever more matches
        first, last = (sum(of[name] for of in part) for part in (curve[:10], curve[-10:]))
        assert last < 0.9 * first, name


@pytest.mark.parametrize("head", ["mask_rcnn", "effseg"])
def test_a_frozen_detector_stays_as_it_is(head: str, tmp_path: Path) -> None:
    trained = model(task(head))
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    recipe = dataclasses.replace(RECIPE, num_steps=2, trained="head")
    path = train(trained, Shapes(), recipe, tmp_path, task(head))
    after = read_tensors(path)[0]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert {name.partition(".")[0] for name in changed} == {"head"}


def test_frozen_heads_see_the_same_boxes(tmp_path: Path) -> None:
    """The losses of the frozen detector, and hence its boxes and matches, do not depend on the head."""
    recipe = dataclasses.replace(RECIPE, num_steps=3, trained="head")
    detector = model(task("mask_rcnn")).state_dict()
    seen = {}
    for head in HEADS:
        trained = model(task(head))
        trained.load_state_dict({k: v for k, v in detector.items() if not k.startswith("head.")}, strict=False)
        train(trained, Shapes(), recipe, tmp_path / head, task(head))
        seen[head] = [[of[name] for name in ("selection", "class", "box")] for of in losses(tmp_path / head)]
    assert seen["point_rend"] == seen["effseg"]


def test_sixteen_bits_train_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in images 64 pixels wide, for which a 16-bit gradient is garbage, and slowly on any processor."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    recipe = dataclasses.replace(RECIPE, num_steps=4, bfloat16=True)
    train(model(task("effseg")), Shapes(), recipe, tmp_path / "half", task("effseg"))
    train(
        model(task("effseg")), Shapes(), dataclasses.replace(recipe, bfloat16=False), tmp_path / "full", task("effseg")
    )
    half, full = losses(tmp_path / "half"), losses(tmp_path / "full")
    assert half[0] != full[0]
    for of_half, of_full in zip(half, full, strict=True):
        assert of_half["norm"] == pytest.approx(of_full["norm"], rel=0.2)


def test_without_instructions_for_them_no_16_bits_are_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    short, cpu = dataclasses.replace(RECIPE, bfloat16=True), torch.device("cpu")
    for able, expected in (({"avx512_bf16": True}, "bfloat16"), ({"avx512_bf16": False}, "float32"), ({}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert computes_in(short, cpu) == expected
        assert computes_in(RECIPE, cpu) == "float32"


def test_workers_read_what_the_process_itself_reads(tmp_path: Path) -> None:
    for workers in (0, 2):
        recipe = dataclasses.replace(RECIPE, num_steps=3)
        train(model(task()), Shapes(), recipe, tmp_path / str(workers), task(), workers=workers)
    assert losses(tmp_path / "0") == losses(tmp_path / "2")


def test_a_finished_training_is_finished(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, num_steps=1)
    for _ in range(2):
        path = train(model(task()), Shapes(), recipe, tmp_path, task())
    assert len(losses(tmp_path)) == 1
    assert path.name == "weights.safetensors"


def test_an_infinite_loss_names_step_and_images(tmp_path: Path) -> None:
    sample = Shapes()[0]
    assert isinstance(sample, Sample)
    bad = dataclasses.replace(sample, pixels=torch.full_like(sample.pixels, torch.nan))
    with pytest.raises(TrainingStopped, match=r"Step [12] of 6: .*= nan on image 100.*the images of the step are"):
        train(model(task()), Instead(data=Shapes(), index=0, image=bad), RECIPE, tmp_path, task())
    assert len(read_log(tmp_path / "log.jsonl")) <= 1


def test_an_unreadable_image_is_left_out_and_named(tmp_path: Path) -> None:
    skipped = Skipped(image_id=100, reason="it is cut off")
    recipe = dataclasses.replace(RECIPE, num_steps=2)  # 6 images: the whole epoch
    train(model(task()), Instead(data=Shapes(), index=0, image=skipped), recipe, tmp_path, task())
    named = [line.unreadable for line in read_log(tmp_path / "log.jsonl")]
    assert sorted(map(len, named)) == [0, 1]
    assert {"100": "it is cut off"} in named
    with pytest.raises(TrainingStopped, match="none of the 1 images can be read, such as 100"):
        train(model(task()), Instead(data=Shapes(num_images=1), index=0, image=skipped), recipe, tmp_path / "b", task())


def test_a_step_without_a_readable_image_moves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    skipped = Skipped(image_id=100, reason="it is cut off")
    recipe = dataclasses.replace(RECIPE, images_per_step=1, num_steps=6)
    data = Instead(data=Shapes(num_images=2), index=0, image=skipped)
    train(model(task()), data, recipe, tmp_path / "whole", task())
    lines = read_log(tmp_path / "whole" / "log.jsonl")
    assert [line.losses == {} for line in lines].count(True) == 3
    assert all(line.gradient_norm == 0 for line in lines if not line.losses)
    assert caplog.text.count("Image 100 cannot be read (it is cut off)") == 1
    for _ in range(2):  # also where it goes on from a checkpoint
        train(model(task()), data, recipe, tmp_path / "parts", task(), checkpoint_every=1)
        for part in ("json", "safetensors"):
            (tmp_path / "parts" / f"step-6.{part}").unlink()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interrupted(Shapes):
    """Shapes of which the second epoch is interrupted by Ctrl-C, as often as its file has letters."""

    file: Path

    def __getitem__(self, index: int) -> Sample | Skipped:
        if self.epoch == 1 and self.file.read_text():
            self.file.write_text(self.file.read_text()[1:])
            signal.raise_signal(signal.SIGINT)  # to this thread: two to the process may arrive as one
        return super().__getitem__(index)


def test_ctrl_c_ends_after_the_step_with_a_checkpoint(tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.write_text("")
    train(model(task()), Interrupted(file=letters), RECIPE, tmp_path / "whole", task())
    letters.write_text("1")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingStopped, match=r"Step 3 of 6: .*Ctrl-C.*checkpoint after step 3.*the same command goes"):
        train(model(task()), Interrupted(file=letters), RECIPE, tmp_path / "parts", task())
    assert signal.getsignal(signal.SIGINT) is handler
    assert steps(tmp_path / "parts") == [3]
    train(model(task()), Interrupted(file=letters), RECIPE, tmp_path / "parts", task())
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.write_text("22")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            train(model(task()), Interrupted(file=letters), RECIPE, tmp_path / "parts", task())
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_checkpoint_is_written_every_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(folder, "_LARGEST_SHARE", 1e9)
    written = []
    monkeypatch.setattr(checkpoint, "write", lambda directory, state, tensors: written.append(state.step))
    train(model(task()), Shapes(), RECIPE, tmp_path, task())
    assert written == [1, 2, 3, 4, 5, 6]


def test_data_that_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        train(model(task()), Shapes(num_images=0), RECIPE, tmp_path, task())
    sample = Shapes()[0]
    assert isinstance(sample, Sample)
    unknown = dataclasses.replace(sample, objects=None)
    with pytest.raises(ValueError, match="Image 100 has no known annotations"):
        train(model(task()), Instead(data=Shapes(num_images=1), index=0, image=unknown), RECIPE, tmp_path, task())


def test_images_without_objects_train_the_detector_alone(tmp_path: Path) -> None:
    sample = Shapes()[2]
    assert isinstance(sample, Sample)
    recipe = dataclasses.replace(RECIPE, num_steps=2)
    train(model(task()), Instead(data=Shapes(num_images=1), index=0, image=sample), recipe, tmp_path, task())
    assert all(of["mask_28"] == of["box"] == 0 < of["selection"] for of in losses(tmp_path))


def test_odd_annotations_are_trained_on(tmp_path: Path) -> None:
    """Category ids with holes, an object outside its image, and an image without any."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").mkdir()
    for image_id in (5, 9):
        Image.new("RGB", (192, 192), (40, 90, 200)).save(tmp_path / "train2017" / f"{image_id:012d}.png")
    boxes = {3: [20, 20, 90, 60], 90: [300, 300, 50, 50]}
    annotations = [
        {"id": category_id, "image_id": 5, "category_id": category_id, "bbox": box, "area": 1, "iscrowd": 0}
        | {"segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]]}
        for category_id, box in boxes.items()
        for x, y, width, height in [box]
    ]
    images = [{"id": image_id, "height": 192, "width": 192} for image_id in (5, 9)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": i} for i in task().category_ids]}
    (tmp_path / "annotations" / "instances_train2017.json").write_bytes(msgspec.json.encode(content))
    files_of_data = open_images(coco_layout(tmp_path).train)
    assert files_of_data.category_ids == task().category_ids
    recipe = dataclasses.replace(RECIPE, num_steps=2)
    data = CocoDataset(files=files_of_data, transform=recipe.augmentation)
    train(model(task()), data, recipe, tmp_path / "out", task())
    assert len(losses(tmp_path / "out")) == 2


def test_more_ranks_than_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="4 ranks for 3 images"):
        train(model(task()), Shapes(), RECIPE, tmp_path, task())


def test_a_full_disk_stops_the_training_and_spares_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.name.startswith("step-4"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        files.write_whole(path, content)

    monkeypatch.setattr(checkpoint, "write_whole", full)
    with pytest.raises(TrainingStopped, match=r"Step 4 of 6: .*No space left.*after step 2 is in"):
        train(model(task()), Shapes(), RECIPE, tmp_path, task(), checkpoint_every=2)
    assert steps(tmp_path) == [2]
    monkeypatch.undo()
    train(model(task()), Shapes(), RECIPE, tmp_path, task(), checkpoint_every=2)
    assert steps(tmp_path) == [4, 6]
