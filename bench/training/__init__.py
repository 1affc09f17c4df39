"""Training: one loop for every head, on one process or on the ranks of torchrun, which can be killed at any moment.

`recipe` says how to train and `task` what, `order` which image comes when, `optimiser` holds the three learning-rate
groups, `step` learns from one batch, `collectives` are what its ranks exchange. A `folder` keeps the `log` and each
`checkpoint`, and `loop` puts it all together. `job` turns a `schedule` into a folder of weights, one of its
`jobs` after the other. Heads that learn at once are a `joint`; where they do so on a `given_detector`, `cost` says
beforehand what each takes.

Images pass through the model one at a time, as in the paper, and their gradients are averaged over the batch. A loss
then depends neither on padding nor on who else is in the batch, so any number of ranks learns the same.
"""

from bench.model.task import Task
from bench.training.collectives import TrainingStopped
from bench.training.loop import train
from bench.training.order import TrainingData
from bench.training.recipe import Recipe

__all__ = ["Recipe", "Task", "TrainingData", "TrainingStopped", "train"]
