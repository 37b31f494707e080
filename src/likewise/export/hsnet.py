"""HSNet as two graphs, in a form that exports and is fast in ONNX Runtime.

    image, masks of the levels --> UnitsGraph --> unit features
    unit features of the query, operands of one support --> LogitsGraph --> logits at twice the encoded size

The operands are those of `likewise.ops.hypercorrelation.products`. A level is `o c q`: support positions, channels,
query positions. So a convolution of the query plane is one of `o` images, one of the support plane is a matrix product
for each position, and nothing is transposed. The first layer is computed only where it differs from its bias, which is
where an output sees foreground.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from likewise.export.graphs import exportable
from likewise.models.hsnet import STRIDES, HSNet
from likewise.models.hsnet_inference import channels_of
from likewise.ops.hypercorrelation.correlation import CenterPivotConv4d, unit
from likewise.ops.hypercorrelation.fast.squeezing import biases

Level = Float[Tensor, "o c q"]
"""Support positions, channels, query positions."""


class UnitsGraph(nn.Module):
    """The unit features of images under a mask for each stride: the taps of one stride are concatenated."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = exportable(network, multiple=MULTIPLE)

    def forward(
        self, images: UInt8[Tensor, "b h w 3"], *masks: Float[Tensor, "b _h _w"]
    ) -> list[Float[Tensor, "b _c _h _w"]]:
        network = self.network
        taps = network.backbone(network.backbone.normalise(images))
        return [
            torch.cat([unit(tap * mask[:, None]) for tap in network.of_stride(taps, stride)], dim=1)
            for stride, mask in zip(STRIDES, masks, strict=True)
        ]


MULTIPLE = 16
"""Both sides of an image are multiples of this."""
FIRST, FURTHER = ("windows", "taps", "centers", "at", "outputs"), ("rows", "taps", "centers")
"""Operands of the first layer of a squeeze block, and of its second and third."""
OPERANDS = (
    *(f"{name}{stride}" for stride in STRIDES for name in FIRST),
    *(f"{name}{stride}_{number}" for stride in STRIDES for number in (2, 3) for name in FURTHER),
    *(name for stride in STRIDES[:-1] for name in (f"resize{stride}", f"rows{stride}_mix", f"taps{stride}_mix")),
)
"""Names of a support's inputs of `LogitsGraph`, in order (`likewise.ops.hypercorrelation.products.operands`)."""


class Layer(nn.Module):
    """A center-pivot convolution, group norm and ReLU on levels."""

    def __init__(self, kernel: CenterPivotConv4d, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.kernel, self.norm = kernel, norm

    def weights(self, taps: Int[Tensor, "o k"]) -> Float[Tensor, "o k d c"]:
        """Return the weights at the kernel positions of each output; zeros one past the last position."""
        weight = self.kernel.support.weight.flatten(2).permute(2, 0, 1)
        return F.pad(weight, (0, 0, 0, 0, 0, 1))[taps]

    def over_query(self, x: Level, grid: tuple[Any, Any]) -> Level:
        """Convolve the query plane at every support position."""
        convolution = self.kernel.query
        planes = x.reshape(-1, x.shape[1], *grid)
        return F.conv2d(planes, convolution.weight, None, 1, convolution.padding).flatten(2)

    def normalise(self, x: Level, outputs: Any) -> Level:
        """Group norm and ReLU of a level that is `x` plus the bias, or the bias alone where `x` has no position."""
        bias, groups = biases(self.kernel), self.norm.num_groups
        count = outputs * x.shape[2]
        mean = x.sum(dim=2).sum(dim=0) / count
        square = x.norm(dim=2).square().sum(dim=0) / count
        own = (bias + mean).reshape(groups, -1)
        middle = own.mean(dim=1, keepdim=True)
        variance = ((own - middle).square() + (square - mean.square()).reshape(groups, -1)).mean(dim=1, keepdim=True)
        shift = (middle.expand_as(own).reshape(-1)) - bias
        spread = variance.expand_as(own).reshape(-1)
        return F.batch_norm(x, shift, spread, self.norm.weight, self.norm.bias, eps=self.norm.eps).relu()

    def first(
        self,
        query: list[Float[Tensor, "_c q"]],
        grid: tuple[Any, Any],
        windows: Float[Tensor, "o k c"],
        taps: Int[Tensor, "o k"],
        centers: Float[Tensor, "n c"],
        at: Int[Tensor, " n"],
        outputs: Float[Tensor, ""],
    ) -> Level:
        """Return the first layer of a squeeze block, one row for each window."""
        sizes = [own.shape[0] for own in query]
        weights = self.weights(taps).permute(3, 0, 2, 1)
        x: Any = 0
        for weight, support, own in zip(weights.unbind(), windows.split(sizes, dim=2), query, strict=True):
            correlation = (support.flatten(0, 1) @ own).relu()
            x = x + weight @ correlation.reshape(taps.shape[0], taps.shape[1], -1)
        found = [(support @ own).relu() for support, own in zip(centers.split(sizes, dim=1), query, strict=True)]
        center = self.over_query(torch.stack(found, dim=1), grid)
        return self.normalise(x.index_put((at,), center, accumulate=True), outputs)

    def forward(
        self,
        x: Level,
        grid: tuple[Any, Any],
        rows: Int[Tensor, "o k"],
        taps: Int[Tensor, "o k"],
        centers: Int[Tensor, " o"] | None = None,
    ) -> Level:
        """Return a further layer; without `centers` every position is one."""
        channels = x.shape[1]
        weights = self.weights(taps).transpose(1, 2).flatten(2)
        read = x[rows.flatten()].reshape(rows.shape[0], rows.shape[1] * channels, -1)
        own = x if centers is None else x[centers]
        y = weights @ read + self.over_query(own, grid)
        return self.normalise(y, rows.shape[0])


class LogitsGraph(nn.Module):
    """The logits of one query and one support."""

    def __init__(self, network: HSNet) -> None:
        super().__init__()
        network = exportable(network)
        blocks = {8: network.squeeze8, 16: network.squeeze16, 32: network.squeeze32}
        self.squeezes = nn.ModuleDict({str(stride): self.layers(block) for stride, block in blocks.items()})
        self.mixes = nn.ModuleDict({"16": self.layers(network.mix32to16), "8": self.layers(network.mix16to8)})
        self.decoder, self.classifier = network.decoder, network.classifier
        self.channels = {stride: list(own) for stride, own in channels_of(network).items()}

    @staticmethod
    def layers(block: Any) -> nn.ModuleList:
        """Return the layers of a squeeze or mix block."""
        return nn.ModuleList(Layer(kernel, norm) for kernel, norm in zip(block[::3], block[1::3], strict=True))

    def forward(self, *inputs: Tensor) -> Float[Tensor, "2 h w"]:
        queries = dict(zip(STRIDES, inputs[: len(STRIDES)], strict=True))
        given = dict(zip(OPERANDS, inputs[len(STRIDES) :], strict=True))
        grids = {stride: (query.shape[1], query.shape[2]) for stride, query in queries.items()}
        squeezed = {}
        for stride, query in queries.items():
            layers: Any = self.squeezes[str(stride)]
            first, second, third = layers
            taps = query.flatten(1).split(self.channels[stride])
            x = first.first(taps, grids[stride], *(given[f"{name}{stride}"] for name in FIRST))
            for number, layer in ((2, second), (3, third)):
                x = layer(x, grids[stride], *(given[f"{name}{stride}_{number}"] for name in FURTHER))
            squeezed[stride] = x
        x = squeezed[32]
        for deep, stride in ((32, 16), (16, 8)):
            planes = F.interpolate(
                x.reshape(x.shape[0], -1, *grids[deep]), size=grids[stride], mode="bilinear", align_corners=True
            )
            moved = given[f"resize{stride}"] @ planes.flatten(1)
            x = moved.reshape(squeezed[stride].shape) + squeezed[stride]
            layers = self.mixes[str(stride)]
            for layer in layers:
                x = layer(x, grids[stride], given[f"rows{stride}_mix"], given[f"taps{stride}_mix"])
        height, width = grids[8]
        features = self.decoder(x.mean(dim=0).reshape(1, -1, height, width))
        features = F.interpolate(features, size=(2 * height, 2 * width), mode="bilinear", align_corners=True)
        return self.classifier(features)[0]


def layer_shapes(network: Any) -> dict[int, list[tuple[int, int]]]:
    """Return kernel side and stride of each layer of the squeeze block of each stride."""
    blocks = {8: network.squeeze8, 16: network.squeeze16, 32: network.squeeze32}
    return {
        stride: [(kernel.support.kernel_size[0], kernel.stride) for kernel in block[::3]]
        for stride, block in blocks.items()
    }
