"""Parameters, total and trainable; the paper's column is the trainable ones."""

from torch import nn

from bench.contract import Context, Measurement
from bench.model.build import outline
from bench.record import Scalar, Subject, rows

VERSION = 1
TIMED = False
NEEDS_IMAGES = False
NEEDS_WEIGHTS = False


def protocol(subject: Subject, context: Context) -> dict[str, Scalar]:
    """Parameters depend on nothing but the subject."""
    return {}


def measure(subject: Subject, context: Context) -> Measurement:
    """Count the parameters of the whole model and of its parts, without allocating any."""
    model = outline(subject, context)
    values = {"params_total": _count(model, frozen=True), "params_trainable": _count(model)}
    for name, part in model.named_children():
        values[f"params_{name}"] = _count(part)
    return Measurement(values=tuple(rows(values, "parameters")))


def _count(module: nn.Module, *, frozen: bool = False) -> int:
    """Elements of all parameters; frozen BatchNorm has none, its statistics and scales are buffers."""
    return sum(parameter.numel() for parameter in module.parameters() if frozen or parameter.requires_grad)
