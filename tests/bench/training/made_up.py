"""Made-up data, a tiny model with every head and a quick recipe for the tests of training."""

import dataclasses
from dataclasses import dataclass

import torch

import heads
from bench.data.augment import SMALL_TRAINING
from bench.data.samples import Objects, Sample, Skipped
from bench.detector.backbone import SmallResNet
from bench.detector.fpn import FPN
from bench.detector.fqdet import Config, FQDet
from bench.model.segmenter import Segmenter
from bench.record import Subject
from bench.training import Recipe, Task
from bench.training.recipe import Drops
from heads._select import Budget

CATEGORY_IDS = (3, 7, 90)


DETECTOR = Config(
    levels=(3, 4, 5, 6, 7),
    channels=16,
    num_queries=30,
    selector_bottleneck=8,
    selector_groups=4,
    num_heads=4,
    num_layers=1,
    hidden=32,
)


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Bright rectangles on noise, one to three an image, in images of several sizes; every third holds none.

    Objects of class 0 are bright in red, of class 1 in green, of class 2 in blue. Every epoch has its own noise.
    """

    num_images: int = 6
    side: int = 64
    seed: int = 0
    epoch: int = 0

    def __len__(self) -> int:
        return self.num_images

    def at(self, epoch: int) -> "Shapes":
        return dataclasses.replace(self, epoch=epoch)

    def __getitem__(self, index: int) -> Sample | Skipped:
        generator = torch.Generator().manual_seed(1000 * (self.seed + 1) + index)
        size = (self.side, self.side + 32 * (index % 2))
        noise = torch.Generator().manual_seed(10_000 * (self.epoch + 1) + index)
        pixels = 0.3 * torch.randn(3, *size, generator=noise)
        count = 0 if index % 3 == 2 else 1 + index % 3
        corners = (torch.rand(count, 2, generator=generator) * (self.side / 2)).floor()
        sides = 16 + (torch.rand(count, 2, generator=generator) * (self.side / 2 - 16)).floor()
        boxes, labels = torch.cat([corners, corners + sides], 1), torch.arange(count) % 3
        masks = torch.zeros(count, *size, dtype=torch.bool)
        for mask, label, (left, top, right, bottom) in zip(masks, labels.tolist(), boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = True
            pixels[label][mask] += 3
        return Sample(
            pixels=pixels,
            image_id=100 + index,
            input_size=size,
            original_size=size,
            objects=Objects(boxes=boxes, labels=labels, masks=masks),
        )


@dataclass(frozen=True, kw_only=True)
class Instead:
    """Another data set, with one image replaced; `None` raises an error there."""

    data: Shapes
    index: int
    image: Sample | Skipped | None

    def __len__(self) -> int:
        return len(self.data)

    def at(self, epoch: int) -> "Instead":
        return dataclasses.replace(self, data=self.data.at(epoch))

    def __getitem__(self, index: int) -> Sample | Skipped:
        if index != self.index:
            return self.data[index]
        if self.image is None:
            raise ValueError("Image 100 is damaged.")
        return self.image


RECIPE = Recipe(
    name="quick",
    num_steps=6,
    images_per_step=3,
    learning_rate=1e-3,
    backbone_rate=5e-4,
    offset_rate=1e-4,
    weight_decay=1e-4,
    schedule=Drops(drops=((0.5, 0.1),)),
    augmentation=SMALL_TRAINING,
    warmup_steps=2,
    max_norm=5.0,
    true_boxes=0.5,
    max_regions=4,
)


def task(head: str = "mask_rcnn", seed: int = 0) -> Task:
    effseg = head == "effseg"
    subject = Subject(
        head=head,
        backend="sps" if effseg else None,
        module="sfm" if effseg else None,
        backbone="small_fpn",
        preset="small",
        seed=seed,
    )
    return Task(subject=subject, category_ids=CATEGORY_IDS, data="shapes")


def model(of: Task) -> Segmenter:
    """The parts of the small preset with as few features as they can have: tests spend their time on steps."""
    channels, num_classes = 16, len(of.category_ids)
    head = heads.head(of.subject.head or "")
    features = {"features": (16, 8, 4, 2), "budget": Budget(20, "region_pool")}
    config = dataclasses.replace(
        head.PRESETS["small"], **(features if of.subject.head == "effseg" else {"features": 16})
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(of.subject.seed)
        backbone = SmallResNet(widths=(8, 8, 16, 16))
        return Segmenter(
            backbone=backbone,
            neck=FPN(backbone.channels, channels),
            detector=FQDet(DETECTOR, num_classes),
            head=head.build(config, channels, channels, num_classes),
        )
