"""The order of the images and the draws of each: functions of seed and position, whichever process reads it.

Position p counts the images shown since the beginning, over all ranks: step p // images_per_step, place
p % images_per_step. Every epoch is a permutation of its own; a batch may hold the end of one and the start of the next.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import DataLoader, Dataset

from bench import ranks
from bench.data.samples import Sample, Skipped


@runtime_checkable
class TrainingData(Protocol):
    """A data set that can be trained on, such as `bench.data.samples.CocoDataset`."""

    def __len__(self) -> int:
        """Give the number of images."""
        ...

    def at(self, epoch: int) -> "TrainingData":
        """Give the same images with the random draws of another epoch."""
        ...

    def __getitem__(self, index: int) -> Sample | Skipped:
        """Read an image; what is random in it depends on the seed of the data set, the epoch and the index alone."""
        ...


@dataclass(frozen=True, kw_only=True)
class Order(Dataset[Sample | Skipped]):
    """The images in the order in which they are shown: item p is what stands at position p."""

    data: TrainingData
    seed: int

    def __getitem__(self, position: int) -> Sample | Skipped:
        """Read the image of a position."""
        epoch, place = divmod(position, len(self.data))
        return self.data.at(epoch)[int(_permutation(self.seed, epoch, len(self.data))[place])]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> Int64[np.ndarray, "size"]:
    return np.random.default_rng([seed, epoch]).permutation(size)


def share(order: Order, steps: range, images_per_step: int, workers: int) -> Iterator[dict[int, Sample | Skipped]]:
    """Read this rank's images of every step, by their position; `workers` processes read ahead (0: none)."""
    places = range(ranks.rank(), images_per_step, ranks.world_size())
    positions = [step * images_per_step + place for step in steps for place in places]
    # A generator of its own: a loader draws from torch's global one otherwise.
    loader = DataLoader(
        order,
        batch_size=None,
        sampler=positions,
        num_workers=workers,
        generator=torch.Generator(),
        worker_init_fn=_leave_interrupts,
    )
    images = zip(positions, loader, strict=True)
    for _ in steps:
        yield dict(islice(images, len(places)))


def _leave_interrupts(_: int) -> None:
    """A worker goes on reading after Ctrl-C: the process that it reads for ends the training, and it with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def randomness(seed: int, position: int, device: torch.device) -> torch.Generator:
    """Make the generator for what the model draws at a position."""
    state = np.random.SeedSequence([seed, position]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0]))
