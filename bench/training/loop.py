"""The loop: train a model by a recipe, from the beginning or from the last checkpoint."""

import time
from contextlib import closing
from functools import partial
from pathlib import Path

from bench import ranks
from bench.data.image_ids import original
from bench.model.segmenter import Segmenter
from bench.model.task import Task
from bench.model.weights import save_weights
from bench.training.collectives import TrainingStopped, all_gather, interruptible, stop_on_sigterm
from bench.training.folder import TrainingFolder
from bench.training.log import Line
from bench.training.optimiser import adamw, moments, set_step
from bench.training.order import Order, TrainingData, share
from bench.training.progress import progress
from bench.training.recipe import Recipe
from bench.training.step import mean_losses, step
from bench.training.unreadable import Unreadable

WEIGHTS = "weights.safetensors"


def train(
    model: Segmenter,
    data: TrainingData,
    recipe: Recipe,
    directory: Path,
    task: Task,
    *,
    workers: int = 0,
    checkpoint_every: int = 500,
) -> Path:
    """Train a model, on its device and in its precision; give the file of its weights in `directory`.

    Checkpoints in the directory are gone on from, exactly as if nothing had happened; under torchrun those that rank 0
    sees. One is written after every `checkpoint_every` steps, every minute, and on Ctrl-C, which ends the training.
    `workers` processes of every rank read images ahead. Raises ValueError for data, ranks and checkpoints that
    do not fit, and TrainingStopped where training cannot go on: on Ctrl-C, and where a whole epoch has no image that
    can be read.
    """
    _check(data, recipe)
    freeze(model, recipe)
    optimiser = adamw(model, recipe)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"optimiser.{name}": tensor for name, tensor in moments(model, optimiser).items()}
    order = Order(data=data, seed=task.subject.seed)
    with (
        closing(TrainingFolder(directory, task, recipe, tensors)) as folder,
        progress(recipe.name, recipe.num_steps, folder.done) as advance,
    ):
        images = share(order, range(folder.done, recipe.num_steps), recipe.images_per_step, workers)
        number, unreadable = folder.done + 1, Unreadable(num_images=len(data))
        try:
            with stop_on_sigterm(), interruptible() as check_interrupted:
                for number in range(folder.done + 1, recipe.num_steps + 1):
                    began = time.perf_counter()
                    set_step(optimiser, recipe, folder.done)
                    per_image, norm = step(model, optimiser, recipe, partial(next, images), order.seed)
                    losses = mean_losses(per_image)
                    line = Line(
                        step=number,
                        losses=losses,
                        total=sum(losses.values()),
                        learning_rate=recipe.learning_rate * recipe.factor(number - 1),
                        gradient_norm=norm,
                        seconds=time.perf_counter() - began,
                        unreadable={
                            str(original(one.image_id)): one.unreadable
                            for one in per_image
                            if one.unreadable is not None
                        },
                    )
                    folder.log(line)
                    if number % checkpoint_every == 0 or number == recipe.num_steps or folder.is_due:
                        folder.save()
                    advance(line.total)
                    unreadable.note(per_image)
                    if number < recipe.num_steps and check_interrupted():
                        folder.save()
                        raise TrainingStopped(
                            f"{number} steps were done when it was interrupted (Ctrl-C); expected to be left alone; "
                            "give the same command again."
                        )
        except TrainingStopped as error:
            raise TrainingStopped(f"Step {number} of {recipe.num_steps}: {error} {folder.remedy()}") from error
    path = directory / WEIGHTS
    all_gather(lambda: save_weights(model, path, task) if ranks.rank() == 0 else None)
    return path


def _check(data: TrainingData, recipe: Recipe) -> None:
    if not len(data):
        raise ValueError("The data set has no images; training needs at least one; check its annotation file.")
    if recipe.images_per_step < ranks.world_size():
        raise ValueError(
            f"There are {ranks.world_size()} ranks for {recipe.images_per_step} images per step; expected an image for "
            "every rank; start fewer ranks, or take a recipe with more images per step."
        )


def freeze(model: Segmenter, recipe: Recipe) -> None:
    """Make a model ready to learn what a recipe trains, and keep the rest of it as it is."""
    model.train()
    if recipe.trained == "head":
        for part in ("backbone", "neck", "detector"):
            model.get_submodule(part).requires_grad_(False).eval()
