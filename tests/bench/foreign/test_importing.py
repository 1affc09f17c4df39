"""From a checkpoint as the authors' script writes it to a file of weights that the project loads, with its record."""

from pathlib import Path

import msgspec
import pytest
import torch

from bench.contract import Context
from bench.files import checksum
from bench.foreign import detseg
from bench.foreign.importing import ImportRecord, read
from bench.model.build import load
from tests.bench.foreign.checkpoints import save_as_theirs, subject, theirs_of


def test_a_checkpoint_becomes_weights_with_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = subject("mask_rcnn")
    state = {f"module.{name}": tensor for name, tensor in theirs_of(of).items()}
    last = torch.rand(81, 256).half()
    state["module.heads.gvd.heads.0.logits.2.weight"] = last
    checkpoint, out = tmp_path / "checkpoint.pth", tmp_path / "new" / "weights"
    save_as_theirs(checkpoint, state, monkeypatch)

    found = read(checkpoint, detseg)
    path, is_new = found.write(out, "detseg")
    assert (path, is_new) == (out / "mask_rcnn-r50_fpn-paper-published-seed0.safetensors", True)
    model = load(of, Context(weights=out))
    weights = model.state_dict()
    assert weights["detector.class_head.2.weight"].equal(last.float())
    assert all((tensor == 0.5).all() for name, tensor in weights.items() if name != "detector.class_head.2.weight")

    record = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=ImportRecord)
    assert record == ImportRecord(
        source="detseg",
        file="checkpoint.pth",
        checksum=checksum(checkpoint),
        entry="model",
        epoch=12,
        subject=of,
        num_tensors=len(state),
        reshaped={"same": len(weights) - 4, "stacked": 3, "transposed, stacked": 1},
        notes=(f"the prefix module. taken off {len(state)} names", "1 tensors converted from float16 to float32"),
        published=None,
        weights=checksum(path),
    )

    content = [each.read_bytes() for each in (path, path.with_suffix(".json"))]
    assert read(checkpoint, detseg).write(out, "detseg") == (path, False)
    with torch.no_grad():
        found.converted.model.backbone.get_parameter("conv1.weight").mul_(2)
    with pytest.raises(ValueError, match=r"is there and holds other weights than .*checkpoint\.pth"):
        found.write(out, "detseg")
    assert [each.read_bytes() for each in (path, path.with_suffix(".json"))] == content


def test_what_is_published_is_known_for_every_head() -> None:
    assert {head: (ap.box_ap, ap.mask_ap) for head, ap in detseg.PUBLISHED.items()} == {
        "mask_rcnn": (46.99, 41.28),
        "point_rend": (46.68, 41.95),
        "refine_mask": (46.80, 42.65),
        "effseg": (46.99, 42.39),
    }
