"""What a model is fed: samples, batches, and the COCO data set that makes samples from files.

Boxes and masks are in input pixels: those of the resized, unpadded image. Padding exists in batches only and is 0
after normalisation. An unreadable image is a value, `Skipped`, so that a record can say which images it lacks and why.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from bench.data.augment import Picture, Transform
from bench.data.coco import CocoImages, CocoObject
from bench.data.images import Unreadable, read_image

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Ground truth of one image: boxes xyxy in input pixels, labels 0-based, masks at the (unpadded) input size."""

    boxes: Float32[Tensor, "G 4"]
    labels: Int64[Tensor, "G"]
    masks: Bool[Tensor, "G H W"]

    def to(self, device: torch.device | str) -> "Objects":
        """Copy to a device."""
        return Objects(boxes=self.boxes.to(device), labels=self.labels.to(device), masks=self.masks.to(device))

    def select(self, index: Int64[Tensor, "K"]) -> "Objects":
        """Some of the objects."""
        return Objects(boxes=self.boxes[index], labels=self.labels[index], masks=self.masks[index])


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image, normalised (RGB, ImageNet mean and deviation). Sizes are (height, width).

    `objects` is None where no ground truth is known, which differs from an image annotated to hold nothing. Annotated
    objects without area, cropped away or below one pixel are missing there.
    """

    pixels: Float32[Tensor, "3 H W"]
    image_id: int
    input_size: tuple[int, int]
    original_size: tuple[int, int]
    objects: Objects | None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An image that could not be read, and why."""

    image_id: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images padded with zeros at the right and bottom to the largest of them; tuples have one entry per image.

    `input_sizes` are without padding; all sizes are (height, width). `objects` is None unless the ground truth of
    every image is known. `skipped` are images that could not be read; where all are, `images` is [0 3 0 0].
    """

    images: Float[Tensor, "B 3 H W"]
    input_sizes: tuple[tuple[int, int], ...]
    original_sizes: tuple[tuple[int, int], ...]
    image_ids: tuple[int, ...]
    objects: tuple[Objects, ...] | None
    skipped: tuple[Skipped, ...] = ()

    def to(self, device: torch.device | str) -> "Batch":
        """Copy to a device."""
        objects = None if self.objects is None else tuple(of_image.to(device) for of_image in self.objects)
        return replace(self, images=self.images.to(device), objects=objects)


def collate(samples: Sequence[Sample | Skipped]) -> Batch:
    """Stack samples into a batch. Takes what a data set gives, so it serves as a loader's `collate_fn`."""
    read = [sample for sample in samples if isinstance(sample, Sample)]
    height = max((sample.input_size[0] for sample in read), default=0)
    width = max((sample.input_size[1] for sample in read), default=0)
    images = torch.zeros(len(read), 3, height, width)
    for image, sample in zip(images, read, strict=True):
        image[:, : sample.input_size[0], : sample.input_size[1]] = sample.pixels
    objects = tuple(sample.objects for sample in read if sample.objects is not None)
    return Batch(
        images=images,
        input_sizes=tuple(sample.input_size for sample in read),
        original_sizes=tuple(sample.original_size for sample in read),
        image_ids=tuple(sample.image_id for sample in read),
        objects=objects if len(objects) == len(read) else None,
        skipped=tuple(sample for sample in samples if isinstance(sample, Skipped)),
    )


def readable(items: Iterable[Sample | Skipped], skipped: list[Skipped]) -> Iterator[Sample]:
    """Iterate over the samples of a data set, or of a loader with `batch_size=None`; collect the rest in `skipped`."""
    for item in items:
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            yield item


def normalised(image: Image.Image | UInt8[np.ndarray, "H W 3"]) -> Float32[Tensor, "3 H W"]:
    """Turn an 8-bit RGB image into model input: scaled to [0, 1], minus ImageNet's mean, over its deviation."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float()
    mean, std = torch.tensor(_IMAGENET_MEAN), torch.tensor(_IMAGENET_STD)
    return pixels.div_(255).sub_(mean[:, None, None]).div_(std[:, None, None])


@dataclass(frozen=True, kw_only=True)
class CocoDataset(Dataset[Sample | Skipped]):
    """Samples of COCO images.

    What is random in a sample depends on `seed`, `epoch` and index alone, not on workers or order. A new epoch is a
    new data set, `at(epoch)`: a loader's workers would not see a changed attribute. Without `with_objects` no ground
    truth is drawn, which saves most of the time of reading.
    """

    files: CocoImages
    transform: Transform
    seed: int = 0
    epoch: int = 0
    with_objects: bool = True

    def at(self, epoch: int) -> "CocoDataset":
        """Give the same data with the random draws of another epoch."""
        return replace(self, epoch=epoch)

    def __len__(self) -> int:
        return len(self.files.ids)

    def __getitem__(self, index: int) -> Sample | Skipped:
        return self.read(index)

    def __iter__(self) -> Iterator[Sample | Skipped]:
        return (self.read(index) for index in range(len(self)))

    def read(self, index: int) -> Sample | Skipped:
        """Read, transform and normalise one image, or say why it is skipped. Raises ValueError for damaged masks."""
        image_id = self.files.ids[index]
        original_size = self.files.sizes[image_id]
        try:
            image = read_image(self.files.paths[image_id], original_size, self.files.rule)
        except Unreadable as error:
            return Skipped(image_id=image_id, reason=str(error))
        annotations = self.files.annotations.get(image_id) if self.with_objects else None
        picture = self.transform(self._picture(image, image_id, annotations or ()), draws(self.seed, self.epoch, index))
        made = sample_of(picture, image_id, original_size)
        return made if annotations is not None else replace(made, objects=None)

    def _picture(self, image: Image.Image, image_id: int, annotations: Sequence[CocoObject]) -> Picture:
        label = {category_id: label for label, category_id in enumerate(self.files.category_ids)}
        boxes = torch.tensor([annotation.bbox for annotation in annotations], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]  # the file has x, y, width, height
        if annotations:
            masks = torch.from_numpy(self.files.masks(image_id))
        else:
            masks = torch.zeros(0, image.height, image.width, dtype=torch.uint8)
        labels = torch.tensor([label[annotation.category_id] for annotation in annotations], dtype=torch.int64)
        return Picture.of(image, boxes, masks, labels)


def draws(seed: int, epoch: int, index: int) -> torch.Generator:
    """Random numbers for the transform of one image: they depend on nothing else."""
    state = np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def sample_of(picture: Picture, image_id: int, original_size: tuple[int, int]) -> Sample:
    """Normalise a transformed picture whose objects are known; those without a pixel are dropped."""
    return Sample(
        pixels=normalised(picture.image),
        image_id=image_id,
        input_size=(picture.image.height, picture.image.width),
        original_size=original_size,
        objects=_objects(picture),
    )


def _objects(picture: Picture) -> Objects:
    """Clip boxes to the image and drop what is left without a pixel."""
    limit = torch.tensor([picture.image.width, picture.image.height] * 2, dtype=torch.float32)
    boxes = picture.boxes.as_subclass(Tensor).clamp(min=0).minimum(limit)
    masks = picture.masks.as_subclass(Tensor).bool()
    keep = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1) & masks.flatten(1).any(1)
    return Objects(boxes=boxes[keep], labels=picture.labels[keep], masks=masks[keep])
