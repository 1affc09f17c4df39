"""The walk on real images: training steps, predictions, given boxes, determinism, distributed training."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pycocotools.coco import COCO
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torchvision.ops import box_iou

from bench.data.augment import Resize
from bench.data.coco import open_images
from bench.data.layout import coco_layout
from bench.data.samples import Batch, CocoDataset, Objects, Sample, collate
from bench.detector.anchors import ANCHORS_PER_CELL
from bench.detector.fqdet import FQDet
from bench.model.build import build
from bench.model.segmenter import Boxes, Segmenter, coco_results, image_size
from bench.planning import recipes
from bench.record import Subject
from heads import Detections, Pyramid, Stage, Targets
from sparsity import names

HEADS = names("heads")


def subject(head: str, preset: str = "small") -> Subject:
    effseg = head == "effseg"
    return Subject(
        head=head,
        backend="sps" if effseg else None,
        module="sfm" if effseg else None,
        backbone="small_fpn" if preset == "small" else "r50_fpn",
        preset=preset,
    )


def with_few(model: Segmenter) -> Segmenter:
    """The same with at most 12 detections an image: some heads take seconds for a hundred."""
    assert isinstance(model.detector, FQDet)
    model.detector.config = dataclasses.replace(model.detector.config, num_detections=12)
    return model


def objects(boxes: list[list[float]], size: tuple[int, int]) -> Objects:
    """Filled rectangles: an object that is its box."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[int(top) : int(bottom), int(left) : int(right)] = True
    return Objects(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % 80,
        masks=masks,
    )


def sample(seed: int, boxes: list[list[float]], size: tuple[int, int] = (128, 160)) -> Sample:
    pixels = torch.randn(3, *size, generator=torch.Generator().manual_seed(seed))
    return Sample(pixels=pixels, image_id=seed, input_size=size, original_size=size, objects=objects(boxes, size))


@pytest.fixture(scope="module")
def real_batch(coco_mini: Path) -> Batch:
    """Two training images at a quarter of the paper's size, which keeps the paper's models quick."""
    files = open_images(coco_layout(coco_mini).train, num_images=2)
    return collate([*CocoDataset(files=files, transform=Resize(short=192, long=320))])


def anchors_of_all_types(model: Segmenter, batch: Batch, num_objects: int = 10) -> list[Tensor]:
    """The best anchor of every one of the nine types for the first objects: some of each type become queries."""
    assert batch.objects is not None
    anchors = model.detector.anchors(model.neck(model.backbone(batch.images)))
    best = []
    for truth in batch.objects:
        overlaps = box_iou(truth.boxes, anchors).view(len(truth.boxes), -1, ANCHORS_PER_CELL)
        best.append(
            (overlaps.argmax(1) * ANCHORS_PER_CELL + torch.arange(ANCHORS_PER_CELL)).flatten()[
                : ANCHORS_PER_CELL * num_objects
            ]
        )
    return best


# Other heads are made of the same layers in both sizes, and the large one takes up to half a minute.
@pytest.mark.parametrize(
    ("head", "preset"), [*((head, "small") for head in HEADS), *((head, "paper") for head in recipes.HEADS)]
)
def test_a_training_step_on_real_images_reaches_every_parameter(head: str, preset: str, real_batch: Batch) -> None:
    model = build(subject(head, preset)).train()
    generator = torch.Generator().manual_seed(0)
    # A region is as good as ten for a gradient, and dear in the large size.
    include = anchors_of_all_types(model, real_batch, num_objects=10 if preset == "small" else 2)
    # Sampling offsets and attention weights start from zero matrices, behind which no gradient arrives: leave that
    # point, as the first training step does.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.normal_(std=1e-3, generator=generator)
    losses = model(real_batch, generator, include=include)
    assert all(loss.isfinite() for loss in losses.values())
    assert all(loss > 0 for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    without = [name for name, parameter in trainable.items() if parameter.grad is None or not parameter.grad.any()]
    assert not without


@pytest.mark.parametrize("true_boxes", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_a_step_without_any_match_costs_nothing_and_stays_attached(head: str, true_boxes: bool) -> None:
    model = build(subject(head)).train()
    losses = model(collate([sample(0, []), sample(1, [])]), torch.Generator().manual_seed(0), true_boxes=true_boxes)
    for name, loss in losses.items():
        assert loss == 0 or name in ("selection", "class")
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_a_head_learns_on_some_of_many_true_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(subject("mask_rcnn")).train()
    boxes = [[10.0 * number, 10, 10.0 * number + 30, 60] for number in range(9)]
    given: list[Detections] = []
    wanted: list[Targets] = []
    forward, loss = model.head.forward, model.head.loss

    def noted_forward(pyramid: Pyramid, detections: Detections, draws: torch.Generator | None) -> list[Stage]:
        given.append(detections)
        return forward(pyramid, detections, draws)

    def noted_loss(stages: list[Stage], targets: Targets) -> dict[str, Tensor]:
        wanted.append(targets)
        return loss(stages, targets)

    monkeypatch.setattr(model.head, "forward", noted_forward)
    monkeypatch.setattr(model.head, "loss", noted_loss)
    draws = torch.Generator().manual_seed(0)
    model(collate([sample(0, boxes), sample(1, boxes[:2])]), draws, true_boxes=True, max_regions=4)
    (detections,), (targets,) = given, wanted
    assert detections.region_counts == (4, 2)
    torch.testing.assert_close(detections.boxes, torch.tensor([*boxes, *boxes[:2]])[targets.index])
    assert torch.equal(detections.labels, torch.tensor([*range(9), 0, 1])[targets.index])
    assert torch.equal(targets.boxes, detections.boxes)
    assert targets.image.tolist() == [0] * 9 + [1] * 2, "also objects that the head does not learn on have an image"
    # Objects are filled boxes, so a region with the mask of another object is seen.
    for box, index in zip(detections.boxes.int().tolist(), targets.index.tolist(), strict=True):
        assert targets.masks[index, box[1] : box[3], box[0] : min(box[2], 160)].all()


def test_losses_are_per_image() -> None:
    model = build(subject("mask_rcnn")).train()
    image = sample(0, [[20, 20, 90, 100]])
    alone, twice = model(collate([image]), true_boxes=True), model(collate([image, image]), true_boxes=True)
    for name, loss in alone.items():
        torch.testing.assert_close(twice[name], loss, rtol=1e-4, atol=1e-5)


def test_training_needs_annotations() -> None:
    unknown = dataclasses.replace(sample(0, []), objects=None)
    with pytest.raises(ValueError, match="no known annotations"):
        build(subject("mask_rcnn"))(collate([unknown]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("head", HEADS)
def test_images_of_one_size_give_the_same_together_and_alone(head: str) -> None:
    # Double precision: among the scores of an untrained model, rounding decides ties, and with them everything after.
    model = with_few(build(subject(head))).double().eval()
    batches = [collate([image]) for image in (sample(0, []), sample(1, []))]
    together, alone = collate([sample(0, []), sample(1, [])]), []
    with torch.no_grad():
        pyramid = model.neck(model.backbone(together.images.double()))
        for index, batch in enumerate(batches):
            single = model.neck(model.backbone(batch.images.double()))
            for level, features in single.items():
                torch.testing.assert_close(pyramid[level][index : index + 1], features, rtol=1e-9, atol=1e-9)
            alone += model.predict(dataclasses.replace(batch, images=batch.images.double()))
    both = model.predict(dataclasses.replace(together, images=together.images.double()))
    for a, b in zip(both, alone, strict=True):
        assert torch.equal(a.labels, b.labels)
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-5, atol=1e-6)
        assert all(torch.equal(x.mask, y.mask) for x, y in zip(a.crops, b.crops, strict=True))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("head", HEADS)
def test_same_seed_same_result(head: str) -> None:
    batch = collate([sample(0, [])])
    a, b = (with_few(build(subject(head))).eval().predict(batch)[0] for _ in range(2))
    assert torch.equal(a.scores, b.scores)
    assert all(torch.equal(x.mask, y.mask) for x, y in zip(a.crops, b.crops, strict=True))
    other = with_few(build(msgspec.structs.replace(subject(head), seed=1))).eval().predict(batch)[0]
    assert not torch.equal(a.scores, other.scores)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("head", HEADS)
def test_sixteen_bits_find_the_same_masks(head: str, dtype: torch.dtype) -> None:
    """Positions stay in 32 bits: sampled with fewer, masks would shift, and torch would read beyond the maps."""
    boxes = torch.tensor([[10.0, 10, 60, 70], [37, 20, 155, 120]])
    given = Boxes(boxes=boxes, labels=torch.tensor([3, 4]), scores=torch.ones(2))
    batch = collate([sample(0, [])])
    model = with_few(build(subject(head))).eval()
    (full,) = model.predict(batch, [given])
    (half,) = model.to(dtype).predict(dataclasses.replace(batch, images=batch.images.to(dtype)), [given])
    detected = model.predict(dataclasses.replace(batch, images=batch.images.to(dtype)))[0]
    assert detected.scores.isfinite().all()
    for a, b in zip(full.crops, half.crops, strict=True):
        assert (a.mask == b.mask).float().mean() > 0.9


def test_the_deformable_encoder_runs_in_sixteen_bits() -> None:
    neck = build(Subject(head="mask_rcnn", backbone="r50_defenc", preset="paper")).neck
    generator = torch.Generator().manual_seed(0)
    sizes = {2: (256, 32, 40), 3: (512, 16, 20), 4: (1024, 8, 10), 5: (2048, 4, 5)}
    maps = {level: torch.randn(1, *size, generator=generator) for level, size in sizes.items()}
    with torch.no_grad():
        full = neck(maps)
        half = neck.bfloat16()({level: features.bfloat16() for level, features in maps.items()})
    for level, features in full.items():
        assert (half[level].float() - features).norm() < 0.05 * features.norm()


def test_every_phase_is_timed_once_in_order() -> None:
    laps: list[str] = []
    build(subject("effseg")).eval().predict(collate([sample(0, [])]), lap=laps.append)
    assert laps == ["backbone", "neck", "detector", "head", "assemble"]


@pytest.mark.parametrize("head", HEADS)
def test_results_are_what_pycocotools_reads(head: str, tmp_path: Path) -> None:
    image = dataclasses.replace(sample(7, []), original_size=(256, 320))
    predictions = with_few(build(subject(head))).eval().predict(collate([image]))
    results = list(coco_results([7], predictions, list(range(1, 81))))
    assert results
    assert "bbox" not in results[0]
    assert all(result["segmentation"]["size"] == [256, 320] for result in results)
    truth = COCO()
    truth.dataset = {"images": [{"id": 7}], "annotations": [], "categories": [{"id": n} for n in range(1, 81)]}
    truth.createIndex()
    path = tmp_path / "predictions.json"
    path.write_bytes(msgspec.json.encode(results))
    assert len(truth.loadRes(str(path)).anns) == len(results)


@pytest.mark.parametrize("head", HEADS)
def test_given_boxes_take_the_place_of_detections(head: str) -> None:
    boxes = torch.tensor([[10.0, 10, 60, 70], [-30, 20, 400, 90], [300, 300, 310, 310]])
    given = Boxes(boxes=boxes, labels=torch.tensor([3, 4, 5]), scores=torch.ones(3))
    (image,) = build(subject(head)).eval().predict(collate([sample(0, [])]), [given])
    assert len(image.crops) == 3
    height, width = image.crops[0].mask.shape
    assert (height, width, image.crops[0].top, image.crops[0].left) == (60, 50, 10, 10)
    assert not image.crops[2].mask.numel()  # outside the image
    assert set(image.labels.tolist()) <= {3, 4}
    assert (image.scores <= 1).all()


@pytest.mark.parametrize("head", HEADS)
def test_an_image_without_detections_has_no_masks(head: str) -> None:
    none = Boxes(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long), scores=torch.zeros(0))
    some = Boxes(boxes=torch.tensor([[5.0, 5, 90, 90]]), labels=torch.tensor([0]), scores=torch.ones(1))
    empty, full = build(subject(head)).eval().predict(collate([sample(0, []), sample(1, [])]), [none, some])
    assert len(empty.scores) == 0
    assert len(full.crops) == 1
    assert list(coco_results([1], [empty], [1])) == []


# They are refused before the head sees them: one that is class-specific and one that is not are all that can differ.
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("head", ["mask_rcnn", "effseg"])
def test_boxes_that_are_not_finite_are_an_error(head: str, number: float) -> None:
    model = build(subject(head)).eval()
    batch = collate([sample(0, []), sample(1, [])])
    inside = torch.tensor([[10.0, 20.0, 60.0, 70.0], [5.0, 5.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]])
    broken = inside.clone()
    broken[1, 2] = number
    labels, scores = torch.arange(3), torch.ones(3)
    given = [Boxes(boxes=boxes, labels=labels, scores=scores) for boxes in (inside, broken)]
    with pytest.raises(
        ValueError, match=r"^Box 1 of image 1 of the batch is \[5.0, 5.0, (nan|-?inf), 40.0\]; expected"
    ):
        model.predict(batch, given)


def test_training_that_diverged_is_an_error() -> None:
    model = build(subject("mask_rcnn")).train()
    with torch.no_grad():
        model.detector.box_head[-1].bias.fill_(torch.nan)
    batch = collate([sample(0, [[16.0, 16.0, 80.0, 80.0]])])
    with pytest.raises(ValueError, match=r"of a training that diverged"):
        model(batch, include=anchors_of_all_types(model, batch))


def test_more_boxes_than_queries_each_have_a_region() -> None:
    # A box on every cell of P3: each has a best anchor of its own, and there are 100 queries.
    x, y = torch.meshgrid(torch.arange(4, 160, 8.0), torch.arange(4, 128, 8.0), indexing="xy")
    centre = torch.stack([x.flatten(), y.flatten()], 1)
    boxes = torch.cat([centre - 16, centre + 16], 1)
    given = Boxes(boxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long), scores=torch.ones(len(boxes)))
    (found,) = build(subject("mask_rcnn")).eval().predict(collate([sample(0, [])]), [given])
    assert len(found.crops) == len(boxes)


def _train_on_rank(rank: int, port: int) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    for head in HEADS:
        model = DistributedDataParallel(build(subject(head)).train())
        # Rank 1 has no object and hence no matched query; every parameter must still take part in the reduction.
        for step in range(2):
            image = sample(step, [[20, 20, 90, 100]] if rank == 0 else [])
            losses = model(collate([image]), torch.Generator().manual_seed(step), true_boxes=True)
            torch.stack(list(losses.values())).sum().backward()
        norms = torch.stack([p.grad.norm() for p in model.parameters() if p.requires_grad and p.grad is not None])
        gathered = [torch.zeros_like(norms) for _ in range(2)]
        dist.all_gather(gathered, norms)
        assert torch.equal(gathered[0], gathered[1]), head
        assert norms.sum() > 0, head
    dist.destroy_process_group()


def test_ranks_without_a_match_train_along(free_port: int) -> None:
    """All heads in turn: most of the time is that of two new processes."""
    mp.spawn(_train_on_rank, (free_port,), nprocs=2)


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_image_size_is_height_and_width() -> None:
    assert image_size(torch.zeros(1, 3, 5, 7)) == (5, 7)
