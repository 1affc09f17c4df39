"""Objects beyond the cap on detections, which no predictions can find: told, since they look like those of a bad model.

Cells, grain or people by the hundred are on a picture, and COCO counts 100 predictions of every image and class.
"""

import logging

import numpy as np

from bench.accuracy.matching import Matches

_log = logging.getLogger(__name__)


def objects_beyond(matches: Matches) -> tuple[int, int, int]:
    """How many objects that count lie beyond the cap, on how many images, and how many the fullest place has.

    A place is what the cap is on: an image and a class, or an image.
    """
    counted = ~matches.truth_ignored[0]
    image = matches.truth_image[counted].astype(np.int64)
    per_class = matches.protocol.cap_scope == "image_class"
    place = image * len(matches.category_ids) + matches.truth_category[counted] if per_class else image
    _, first, sizes = np.unique(place, return_index=True, return_counts=True)
    beyond = np.maximum(sizes - matches.protocol.cap, 0)
    return int(beyond.sum()), len(np.unique(image[first[beyond > 0]])), int(sizes.max(initial=0))


def warn_of_cap(matches: Matches, name: str) -> None:
    """Warn of objects beyond the cap, if there are any; `name` is that of the annotation file."""
    num_objects, num_images, most = objects_beyond(matches)
    if num_objects == 0:
        return
    protocol = matches.protocol
    scope = "image and class" if protocol.cap_scope == "image_class" and len(matches.category_ids) > 1 else "image"
    _log.warning(
        "%s: %d objects on %d images lie beyond the cap of %d predictions of every %s, so that none can find them; one "
        "has %d objects. A cap of %d counts all.",
        name,
        num_objects,
        num_images,
        protocol.cap,
        scope,
        most,
        most,
    )
