"""FQDetV2: FQDet with twice the queries, simpler heads and no encoding of anchors, trained on the overlap of boxes.

As in the instance segmentation models that the authors of the paper have published beside it, which is FQDet v1's.
"""

from dataclasses import dataclass

from torch import nn

from bench.detector import fqdet
from bench.detector.fqdet import FQDet
from bench.detector.quality_losses import quality_losses


@dataclass(frozen=True, kw_only=True)
class Config(fqdet.Config):
    """Sizes of the detector as of FQDet; the defaults are those of the public models."""

    num_queries: int = 600
    hidden: int = 2048
    max_overlap: float = 0.65


PRESETS = {
    "paper": Config(),
    "small": Config(
        levels=(3, 4, 5, 6, 7), channels=64, num_queries=200, selector_bottleneck=16, num_layers=3, hidden=512
    ),
}


class FQDetV2(FQDet):
    """The detector on top of a pyramid (a `Detector`): the walk of FQDet with other parts and losses."""

    losses = staticmethod(quality_losses)

    @staticmethod
    def new_anchor_encoding(channels: int) -> None:
        """Nothing: queries know their anchor by where they look only."""

    @staticmethod
    def new_class_head(channels: int, num_outputs: int) -> nn.Linear:
        """One layer on the query as it is."""
        return nn.Linear(channels, num_outputs)

    @staticmethod
    def new_box_head(channels: int) -> nn.Sequential:
        """Four layers with a norm after the first one, which no activation follows."""
        return nn.Sequential(
            nn.Linear(channels, channels),
            nn.LayerNorm(channels),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, 4),
        )


def build(config: Config, channels: int, num_classes: int) -> FQDetV2:
    """Build the detector on a pyramid of `channels` channels, which must be those of the configuration."""
    assert config.channels == channels
    return FQDetV2(config, num_classes)
