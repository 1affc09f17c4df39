"""Which weights a training starts from: a file, or those of a folder with one detector and heads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.model.weights_folder import DETECTOR, file, subjects_in
from bench.record import Subject


@dataclass(frozen=True, kw_only=True)
class Start:
    """Files of weights to start from: of a detector, and of heads by whose they are. Nothing says random ones."""

    detector: Path | None = None
    heads: Mapping[Subject, Path] = field(default_factory=dict)

    def of_detector(self, subject: Subject) -> tuple[Path, ...]:
        """Where a detector starts from that learns together with the head of a subject: both, where they are known."""
        return () if self.detector is None else tuple(dict.fromkeys((self.detector, *self.of_head(subject))))

    def of_head(self, subject: Subject) -> tuple[Path, ...]:
        """The file of the same head with the same module, preset, backbone and detector.

        Of the same seed where there is one.
        """
        alike = [each for each in self.heads if _kind(each) == _kind(subject)]
        same_seed = [each for each in alike if each.seed == subject.seed]
        return (self.heads[(same_seed or alike)[0]],) if alike else ()


def _kind(subject: Subject) -> tuple[str | None, ...]:
    return subject.head, subject.module, subject.preset, subject.backbone, subject.detector


def of_file(detector: Path) -> Start:
    """Start from the detector of a file, and from no head."""
    return Start(detector=detector)


def start_of(weights: Path) -> Start:
    """Start from whatever a file or a folder of weights has. Raises ValueError where that is nothing."""
    heads = subjects_in(weights)
    common = file(weights, DETECTOR) if weights.is_dir() else weights
    detector = common if common.is_file() else next(iter(heads.values()), None)
    if detector is None:
        raise ValueError(
            f"There are no weights in {weights}. To start from are a file of weights, or a folder with a detector and "
            "heads. Check the path, or give none to start from the shipped ones."
        )
    return Start(detector=detector, heads=heads)
