"""The small models with the weights of a formula still compute what they computed when their goldens were written.

The goldens are our own numbers, so they tell a change and no more: whoever means to change what the small preset
computes (and so what the shipped weights mean) writes them anew:

    python -c "from tests.whole.test_small_goldens import write; write()"
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.data.samples import Batch, Objects
from bench.model.assemble import assemble
from bench.model.build import build
from bench.model.segmenter import Segmenter
from bench.record import Subject
from heads import compose
from sparsity import names
from tests import formula

FILE = Path(__file__).parents[1] / "golden" / "small_models.npz"
SEED, SIZE, ORIGINAL_SIZE = "small", (150, 203), (120, 163)
NUM_PLACES = 8
TOLERANCE = 1e-5  # of values computed in 64 bits and kept in 32

Arrays = dict[str, NDArray[Any]]


def model(head: str) -> Segmenter:
    with torch.device("meta"):
        made = build(Subject(head=head, backbone="small_fpn", preset="small"))
    made = made.to_empty(device="cpu").double()
    for key, tensor in made.state_dict().items():
        tensor.copy_(torch.from_numpy(formula.weight(SEED, key, tensor.shape)))
    return made


def batch() -> Batch:
    """Two overlapping rectangles in an image whose sides nothing divides."""
    pixels = torch.from_numpy(formula.image(SEED, *SIZE)).permute(2, 0, 1)
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 20:90, 30:110] = True
    masks[1, 60:150, 90:203] = True
    boxes = torch.tensor([[30.0, 20.0, 110.0, 90.0], [90.0, 60.0, 203.0, 150.0]])
    return Batch(
        images=(pixels[None] / 255 - 0.5).double() * 4,
        input_sizes=(SIZE,),
        original_sizes=(ORIGINAL_SIZE,),
        image_ids=(1,),
        objects=(Objects(boxes=boxes, labels=torch.tensor([3, 7]), masks=masks),),
    )


@cache
def computed(head: str) -> Arrays:
    """Outputs of inference and of a training step; what is the detector's is the same for every head."""
    made, images = model(head), batch()
    with torch.inference_mode():
        found = made.eval().detect(images)
        regions = made.regions(found.detections)
        stages = made.head(found.pyramid, regions)
        maps = compose(stages).sigmoid().flatten(1)
        (exact,), (dilated,) = (
            assemble(stages, regions, (SIZE,), (ORIGINAL_SIZE,), finishing=finishing)
            for finishing in ("exact", "dilated")
        )
    generator = torch.Generator().manual_seed(0)
    losses = made.train()(images, generator)
    sum(losses.values()).backward()
    gradients = {name: value.grad.norm() for name, value in made.named_parameters() if value.grad is not None}
    arrays = {f"P{level}": sampled(f"P{level}", values) for level, values in found.pyramid.items()}
    arrays |= {"box": found.detections.boxes.numpy(), "label": found.detections.labels.numpy()}
    arrays |= {"class_score": found.detections.scores.numpy()}
    arrays[f"{head}.probability"] = maps[:, formula.places(SEED, "cells", maps.shape[1], NUM_PLACES)].numpy()
    arrays[f"{head}.score"] = exact.scores.numpy()
    for name, image in (("exact", exact), ("dilated", dilated)):
        arrays[f"{head}.{name}.area"] = np.array([int(crop.mask.sum()) for crop in image.crops])
    arrays[f"{head}.losses"] = np.array([loss.item() for _, loss in sorted(losses.items())])
    arrays[f"{head}.gradients"] = np.array([norm.item() for _, norm in sorted(gradients.items())])
    return {
        name: values.astype(np.float32 if values.dtype == np.float64 else np.int16) for name, values in arrays.items()
    }


def sampled(name: str, values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(values.numpy().ravel()[formula.places(SEED, name, values.numel(), 64)])


def write() -> None:
    """Write the goldens anew."""
    arrays: Arrays = {}
    for head in HEADS:
        arrays |= computed(head)
    np.savez_compressed(FILE, allow_pickle=False, **arrays)


HEADS = ("effseg", "mask_rcnn", "point_rend", "refine_mask")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("head", HEADS)
def test_the_small_models_compute_what_they_did(head: str) -> None:
    with np.load(FILE) as file:
        expected = dict(file)
    found = computed(head)
    of_others = {name for name in expected if name.partition(".")[0] in HEADS} - found.keys()
    assert found.keys() == expected.keys() - of_others
    for name, values in found.items():
        tolerance = 1 if name.endswith(".area") else TOLERANCE * float(np.abs(expected[name]).max())
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=tolerance, err_msg=name)


def test_they_are_small_and_of_models_that_say_something() -> None:
    assert FILE.stat().st_size < 60_000
    assert set(HEADS) <= set(names("heads"))
    with np.load(FILE) as file:
        for head in HEADS:
            assert file[f"{head}.probability"].std() > 0.01
            assert (file[f"{head}.dilated.area"] > file[f"{head}.exact.area"]).mean() > 0.5
