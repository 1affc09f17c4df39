"""Images that cannot be read: told once, counted, and no reason to end a training while there are others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bench import ranks
from bench.data.image_ids import original
from bench.training.collectives import TrainingStopped
from bench.training.step import ImageLosses

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Unreadable:
    """Watches the images of a training, of which there are `num_images`."""

    num_images: int
    _told: bool = False
    _in_a_row: int = 0

    def note(self, per_image: Sequence[ImageLosses]) -> None:
        """Look at the images of a step. Raises TrainingStopped after as many unreadable ones as there are images."""
        for image in per_image:
            if image.unreadable is None:
                self._in_a_row = 0
                continue
            self._in_a_row += 1
            if not self._told and ranks.rank() == 0:
                log.warning(
                    "Image %s cannot be read (%s). It is left out, and so are others like it; they are counted at the "
                    "end.",
                    original(image.image_id),
                    image.unreadable,
                )
            self._told = True
            if self._in_a_row >= self.num_images:
                raise TrainingStopped(
                    f"none of the {self.num_images} images can be read, such as {original(image.image_id)} "
                    f"({image.unreadable}); expected at least one; check the files."
                )
