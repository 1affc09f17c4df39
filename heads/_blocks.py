"""Network pieces that several heads or processing modules share."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heads._pointwise import WIDENED, Linear, in_blocks, is_cpu_inference
from sparsity import Grid, conv2d, depthwise, feedforward, sfm


def mlp(*features: int) -> nn.Sequential:
    """Linear layers between these numbers of features, a ReLU after each but the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(features):
        layers += [Linear(before, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def two_layer_mlp(features_in: int, hidden: int, features_out: int) -> nn.Sequential:
    """Linear, ReLU, Linear."""
    return mlp(features_in, hidden, features_out)


def fcn(features_in: int, features: int, num_convs: int) -> nn.Sequential:
    """`num_convs` times [3x3 convolution, ReLU], Kaiming-normal weights (fan-out), zero bias."""
    layers: list[nn.Module] = []
    for index in range(num_convs):
        conv = nn.Conv2d(features if index else features_in, features, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        layers += [conv, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class QueryFusion(nn.Module):
    """Add what the query knows to every cell of its region (Sec. 3.1): a residual two-layer MLP on [query; cell].

    The query goes through a Linear and a ReLU of its own first, which the paper's text leaves out but its parameter
    counts contain.
    """

    def __init__(self, channels: int, query_size: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(query_size, channels), nn.ReLU(inplace=True))
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1)
        )

    def forward(self, features: Float[Tensor, "R C S S"], queries: Float[Tensor, "R Q"]) -> Float[Tensor, "R C S S"]:
        """Fuse each region's features with its query."""
        query = self.query(queries)[:, :, None, None].expand_as(features)
        # Beside features that are channels last, expanded ones would have all of them copied twice.
        query = query.contiguous(memory_format=torch.channels_last)
        return features + self.fuse(torch.cat([query, features], 1))


class CoarseMask(nn.Module):
    """Mask R-CNN's mask branch with query fusion: region features to logits at twice their side, one map per class."""

    def __init__(self, channels: int, query_size: int, features: int, num_convs: int, num_masks: int) -> None:
        super().__init__()
        self.fusion = QueryFusion(channels, query_size)
        self.trunk = fcn(channels, features, num_convs)
        self.upsample = nn.ConvTranspose2d(features, features, 2, stride=2)
        self.logits = nn.Conv2d(features, num_masks, 1)

    def forward(
        self, features: Float[Tensor, "R C S S"], queries: Float[Tensor, "R Q"]
    ) -> Float[Tensor, "R M 2*S 2*S"]:
        """Predict `M` mask logits for every cell of a lattice of twice the side."""
        return self.logits(self.upsample(self.trunk(self.fusion(features, queries))).relu())


def class_channel(logits: Float[Tensor, "R M *cells"], labels: Int[Tensor, "D"]) -> Float[Tensor, "R *cells"]:
    """Pick each region's class out of class-specific logits; the only channel where they are class-agnostic.

    Class-specific heads have one region per prediction, `D == R`. Others may have more labels and do not need them.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(len(labels), device=labels.device), labels]


class GridConv(nn.Module):
    """A square convolution on the active cells of a grid, initialised like `nn.Conv2d`."""

    def __init__(self, features_in: int, features_out: int, kernel_size: int = 3, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(features_out, features_in, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(features_out))
        _initialise_conv(self.weight, self.bias)

    def forward(self, grid: Grid) -> Float[Tensor, "A O"]:
        """Convolve: new features of the active cells."""
        return conv2d(grid, self.weight, self.bias, self.dilation)


class GridDepthwise(nn.Module):
    """Depthwise 3x3 convolutions of some dilations, added up, on the active cells; initialised like `nn.Conv2d`."""

    def __init__(self, features: int, dilations: Sequence[int] = (1,)) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.weight = nn.Parameter(torch.empty(len(self.dilations), 3, 3, features))
        self.bias = nn.Parameter(torch.empty(features))
        bound = 1 / math.sqrt(9 * len(self.dilations))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Convolve: new features of the active cells."""
        return depthwise(grid, self.weight, self.bias, self.dilations)


class SemanticFusion(nn.Module):
    """The semantic fusion module (SFM): parallel 3x3 convolutions of growing dilation between pointwise layers.

    Without the 1x1 merge convolution and the global-average branch of RefineMask's (Sec. 3.3). The pointwise layers
    change active features only: passive neighbours are read as the transition left them.
    """

    def __init__(self, features: int, dilations: Sequence[int] = (1, 3, 5)) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.enter = nn.Sequential(Linear(features, features), nn.ReLU(inplace=True))
        self.weight = nn.Parameter(torch.empty(len(self.dilations), features, features, 3, 3))
        self.bias = nn.Parameter(torch.empty(len(self.dilations), features))
        _initialise_conv(self.weight, self.bias)
        self.leave = nn.Sequential(
            Linear(features, features), nn.ReLU(inplace=True), Linear(features, features), nn.ReLU(inplace=True)
        )

    def forward(self, grid: Grid) -> Float[Tensor, "A F"]:
        """Process: new features of the active cells."""
        grid = grid.with_active(in_blocks(self.enter, grid.active))
        return in_blocks(self.leave, sfm(grid, self.weight, self.bias, self.dilations))


class NormalisedFeedforward(nn.Sequential):
    """LayerNorm, Linear F -> 4F, ReLU, Linear 4F -> F: what ends the smaller processing modules (Table 5)."""

    def __init__(self, features: int) -> None:
        norm, widen, narrow = nn.LayerNorm(features), Linear(features, 4 * features), Linear(4 * features, features)
        super().__init__(norm, widen, nn.ReLU(inplace=True), narrow)
        self.epsilon = norm.eps

    def add_to(self, added: Float[Tensor, "N F"], rows: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
        """`added + self(rows)`, at inference on a CPU in one pass over memory (float32) or in blocks.

        While gradients are wanted, and on other devices, all is left to torch.
        """
        if not is_cpu_inference(rows) or rows.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return in_blocks(lambda onto, block: onto + self(block), added, rows, numbers=WIDENED)
        scale, shift, weight_in, bias_in, weight_out, bias_out = self.parameters()
        return feedforward(
            rows,
            added,
            scale=scale,
            shift=shift,
            weight_in=weight_in,
            bias_in=bias_in,
            weight_out=weight_out,
            bias_out=bias_out,
            epsilon=self.epsilon,
        )


def normalised_feedforward(features: int) -> NormalisedFeedforward:
    """Build the block for rows of `features` numbers."""
    return NormalisedFeedforward(features)


def _initialise_conv(weight: Float[Tensor, "*branches O F k k"], bias: Float[Tensor, "*branches O"]) -> None:
    """Initialise like `nn.Conv2d`: uniform within 1 / sqrt(fan-in), weights and bias."""
    bound = 1 / math.sqrt(math.prod(weight.shape[-3:]))
    with torch.no_grad():
        weight.uniform_(-bound, bound)
        bias.uniform_(-bound, bound)
