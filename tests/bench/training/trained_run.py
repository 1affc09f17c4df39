"""A training for `test_loop.py`, alone or under torchrun: `python trained_run.py DIRECTORY STEPS DYING_RANK HEADS...`.

Trains each head in float64 in DIRECTORY/<head>, with a checkpoint every 4 steps. DYING_RANK kills itself when it reads
for step 7, without a word; -1 spares all.
"""

import dataclasses
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from bench import ranks
from bench.data.samples import Sample, Skipped
from bench.training import train
from tests.bench.training.made_up import RECIPE, Shapes, model, task


@dataclass(frozen=True, kw_only=True)
class Deadly(Shapes):
    """Kills the process that reads its images in the third epoch, if it is of the dying rank."""

    dying_rank: int = -1

    def __getitem__(self, index: int) -> Sample | Skipped:
        if self.epoch == 3 and ranks.rank() == self.dying_rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def main(directory: Path, num_steps: int, dying_rank: int, heads: list[str]) -> None:
    torch.set_num_threads(1)
    for head in heads:
        recipe = dataclasses.replace(RECIPE, num_steps=num_steps)
        train(
            model(task(head)).double(),
            Deadly(dying_rank=dying_rank),
            recipe,
            directory / head,
            task(head),
            checkpoint_every=4,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
