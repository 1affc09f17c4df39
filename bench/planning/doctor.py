"""What can be measured here, what is missing, and how to get it."""

import importlib.metadata
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench import machine
from bench.data.layout import DataSet


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. `remedy` says what to do where it is not `good`, and `mark` in one word what is wrong."""

    name: str
    good: bool
    detail: str
    remedy: str = ""
    mark: str = "missing"


def examine(data: DataSet | None = None) -> Iterator[Finding]:
    """Look at the installation, the machine, the ImageNet weights and, if given, a data set."""
    import torch  # the machine card knows torch's threads and GPU once it is there

    yield _python()
    for package in ("torch", "torchvision", "fvcore", "pycocotools"):
        yield _package(package)
    card = machine.card()
    yield Finding(name="cpu", good=True, detail=f"{card.cpu}, {card.cores} cores, torch uses {card.threads} threads")
    yield Finding(name="gpu", good=True, detail=card.gpu or "none: times are taken on the CPU")
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        for dtype in ("float32", "bfloat16"):
            yield _kernel(device, dtype)
    yield _imagenet()
    if data is None:
        yield _no_data()
    else:
        from bench.planning import data_doctor

        yield from data_doctor.examine(data)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="python", good=sys.version_info >= (3, 11), detail=version, remedy="Use Python 3.11 or newer.")


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, good=True, detail=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name=name, good=False, detail="not installed", remedy="pip install -e .")


def _kernel(device: str, dtype: str) -> Finding:
    """Say which kernel convolves on the backend `sps`, and why no other one."""
    import torch

    from sparsity import why_kernel

    name = f"sps on {device}"
    try:
        lines = why_kernel(torch.device(device), getattr(torch, dtype))
    except ValueError as error:
        return Finding(name=name, good=False, detail=str(error), remedy="Correct or unset SPS_KERNEL.")
    return Finding(name=name, good=True, detail=f"{dtype}: " + "; ".join(lines))


def _imagenet() -> Finding:
    from bench.detector.backbone import WEIGHTS_NAME, imagenet_weights

    name, path = "ImageNet weights", imagenet_weights()
    if path is not None:
        return Finding(name=name, good=True, detail=str(path))
    return Finding(
        name=name,
        good=False,
        detail=f"{WEIGHTS_NAME} is not among torch.hub's checkpoints; only training needs it",
        remedy=f'{sys.executable} -c "from torchvision.models import ResNet50_Weights as W; '
        'W.IMAGENET1K_V1.get_state_dict(check_hash=True)"',
    )


def _no_data() -> Finding:
    return Finding(
        name="data set",
        good=False,
        detail="no directory given; speed and predictions need images, params and flops do not",
        remedy="run_bench.py doctor --data DIR with the folder that an annotation tool exported, or COCO's from "
        "https://cocodataset.org/#download",
    )
