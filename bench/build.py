"""From a subject to a model: which parts, which sizes, which weights."""

import dataclasses
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import nn

import heads
from bench.catalog import BACKBONES, check
from bench.detector import fqdet
from bench.detector.backbone import ResNet50, SmallResNet, imagenet_weights, load_imagenet
from bench.detector.deform_encoder import DeformEncoder
from bench.detector.fpn import FPN
from bench.model import Segmenter
from bench.plan import Context
from bench.record import Subject
from bench.tensors_file import copy_tensors, read_tensors

NUM_CLASSES = 80
CHANNELS = {"paper": 256, "small": 64}

log = logging.getLogger(__name__)


def _r50_fpn(channels: int) -> tuple[nn.Module, nn.Module]:
    backbone = ResNet50()
    return backbone, FPN(backbone.channels, channels)


def _r50_defenc(channels: int) -> tuple[nn.Module, nn.Module]:
    backbone = ResNet50()
    return backbone, DeformEncoder(backbone.channels, channels)


def _small_fpn(channels: int) -> tuple[nn.Module, nn.Module]:
    backbone = SmallResNet()
    return backbone, FPN(backbone.channels, channels)


_BUILDERS: dict[str, Callable[[int], tuple[nn.Module, nn.Module]]] = {
    "r50_fpn": _r50_fpn,
    "r50_defenc": _r50_defenc,
    "small_fpn": _small_fpn,
}


def build(subject: Subject, num_classes: int = NUM_CLASSES) -> Segmenter:
    """Build the model of a subject, initialised from its seed; under `torch.device("meta")` without any storage.

    Raises ValueError for unknown names, and where the subject asks a head for a part it does not have.
    """
    preset, backbone_name, head_name = subject.preset or "paper", subject.backbone or "r50_fpn", subject.head or ""
    check("preset", preset, CHANNELS)
    check("backbone", backbone_name, BACKBONES)
    head = heads.head(head_name)
    config = head.PRESETS[preset]
    for part in ("module", "backend"):
        value = getattr(subject, part)
        if value is None:
            continue
        if not hasattr(config, part):
            raise ValueError(f"The head {head_name} has no {part}, {value!r} was asked for; leave it out.")
        config = dataclasses.replace(config, **{part: value})
    channels = CHANNELS[preset]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(subject.seed)
        backbone, neck = _BUILDERS[backbone_name](channels)
        return Segmenter(
            backbone=backbone,
            neck=neck,
            detector=fqdet.FQDet(fqdet.PRESETS[preset], num_classes),
            head=head.build(config, channels, channels, num_classes),
        )


def load(subject: Subject, context: Context) -> Segmenter:
    """Build the model of a subject with its weights, for inference on the device and in the dtype of the context.

    Without a file of weights, the backbone takes torchvision's ImageNet weights where they lie on this machine and
    everything else is random; the log says so.
    """
    model = build(subject)
    if context.weights is not None:
        load_weights(model, context.weights)
    elif isinstance(model.backbone, ResNet50):
        path = imagenet_weights()
        if path is None:
            _announce("No weights: everything is random. Costs and speed are real, masks mean nothing.")
        else:
            load_imagenet(model.backbone, path)
            _announce("ImageNet weights in the backbone, the rest is random: masks mean nothing.")
    return model.to(device=context.device, dtype=getattr(torch, context.dtype)).eval()


@cache
def _announce(text: str) -> None:
    """Warn once in a run, not once in a cell."""
    log.warning(text)


def initial_weights(subject: Subject, context: Context) -> str:
    """What `load` starts from: "file", "imagenet" or "random". It decides which detections an untrained model makes."""
    if context.weights is not None:
        return "file"
    has_resnet = (subject.backbone or "").startswith("r50")
    return "imagenet" if has_resnet and imagenet_weights() is not None else "random"


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file that holds exactly the model's tensors.

    Raises ValueError for another kind of file, and for weights of another architecture, naming what differs.
    """
    tensors, _ = read_tensors(path)
    copy_tensors(tensors, model.state_dict(), path)
