"""Objects beyond the cap on detections are counted where the cap is: on an image and class, or on an image."""

from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy.cap import objects_beyond, warn_of_cap
from bench.accuracy.matching import Matches
from bench.accuracy.protocol import PRESETS, ScoringProtocol
from tests.bench.accuracy.made_up import table


def crowded(protocol: ScoringProtocol) -> Matches:
    """Two images: five objects of a class and one crowd of it, two of another; three objects of one class."""
    image = [0] * 8 + [1] * 3
    category = [0] * 6 + [1] * 2 + [0] * 3
    made = table(0, num_objects=len(image), protocol=protocol)
    ignored = np.zeros((len(protocol.areas), len(image)), bool)
    ignored[:, 5] = True
    return replace(
        made,
        protocol=protocol,
        category_ids=np.array([1, 2]),
        truth_image=np.array(image, np.int32),
        truth_category=np.array(category, np.int32),
        truth_ignored=ignored,
    )


@pytest.mark.parametrize(
    ("cap", "scope", "found"),
    [
        (100, "image_class", (0, 0, 5)),
        (4, "image_class", (1, 1, 5)),
        (2, "image_class", (3 + 1, 2, 5)),
        (2, "image", (5 + 1, 2, 7)),
        (6, "image", (1, 1, 7)),
    ],
)
def test_objects_beyond_are_counted(cap: int, scope: str, found: tuple[int, int, int]) -> None:
    protocol = replace(PRESETS["coco"], cap=cap, cap_scope=scope)
    assert objects_beyond(crowded(protocol)) == found


def test_they_are_told_with_the_cap_that_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_cap(crowded(PRESETS["coco"]), "gt.json")
    assert caplog.messages == []
    warn_of_cap(crowded(replace(PRESETS["coco"], cap=2)), "gt.json")
    (message,) = caplog.messages
    assert message.startswith("gt.json: 4 objects on 2 images lie beyond the cap of 2 predictions of every image and")
    assert message.endswith("one has 5 objects. A cap of 5 counts all.")
