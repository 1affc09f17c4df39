"""What can be measured here, what is missing, and how to get it."""

import importlib.metadata
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import machine

IMAGENET_WEIGHTS = "resnet50-0676ba61.pth"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. `remedy` says what to do where it is not `good`."""

    name: str
    good: bool
    detail: str
    remedy: str = ""


def examine(coco: Path | None = None) -> Iterator[Finding]:
    """Look at the installation, the machine, the ImageNet weights and, if given, a COCO directory."""
    import torch  # part of what is examined, and of the machine card

    yield _python()
    for package in ("torch", "torchvision", "fvcore", "pycocotools"):
        yield _package(package)
    card = machine.card()
    yield Finding(name="cpu", good=True, detail=f"{card.cpu}, {card.cores} cores, torch uses {card.threads} threads")
    yield Finding(name="gpu", good=True, detail=card.gpu or "none: times are taken on the CPU")
    yield _imagenet(Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_WEIGHTS)
    yield _coco(coco)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="python", good=sys.version_info >= (3, 11), detail=version, remedy="Use Python 3.11 or newer.")


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, good=True, detail=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name=name, good=False, detail="not installed", remedy="pip install -e .")


def _imagenet(path: Path) -> Finding:
    if path.is_file():
        return Finding(name="ImageNet weights", good=True, detail=str(path))
    command = (
        f'{sys.executable} -c "from torchvision.models import ResNet50_Weights as W; '
        'W.IMAGENET1K_V1.get_state_dict(check_hash=True)"'
    )
    return Finding(
        name="ImageNet weights",
        good=False,
        detail=f"{path} is not there; only training and speeds of trained weights need it",
        remedy=command,
    )


def _coco(directory: Path | None) -> Finding:
    name = "COCO val2017"
    if directory is None:
        return Finding(
            name=name,
            good=False,
            detail="no directory given; speed and predictions need images, params and flops do not",
            remedy="run_bench.py doctor --coco DIR with val2017/*.jpg and annotations/instances_val2017.json from "
            "https://cocodataset.org/#download",
        )
    file = directory / "annotations" / "instances_val2017.json"
    try:
        expected = [image["file_name"] for image in json.loads(file.read_bytes())["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Finding(
            name=name,
            good=False,
            detail=f"{file} cannot be read: {error}",
            remedy="Unpack annotations_trainval2017.zip into the directory.",
        )
    missing = [name for name in expected if not (directory / "val2017" / name).is_file()]
    if missing:
        return Finding(
            name=name,
            good=False,
            detail=f"{len(missing)} of {len(expected)} images are missing, the first is {missing[0]}",
            remedy=f"Unpack val2017.zip into {directory}.",
        )
    return Finding(name=name, good=True, detail=f"{directory}: all {len(expected)} images of the annotations are there")
