"""Networks as graphs: 8-bit images in, normalised inside, arrays out.

Each module has the path of the network that it wraps, for inputs that the tracer can follow.
"""

from __future__ import annotations

import copy
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, UInt8
from timm.layers import Conv2dSame
from torch import Tensor, nn

from likewise.backbones.folding import replace_module
from likewise.models.icnet import STRIDES, calibrate, full_size


class PaddedConv2d(nn.Module):
    """`Conv2dSame` in a form that exports.

    timm computes the padding from the input's size, in Python, which an exporter freezes. For sides that are multiples
    of the stride the padding is fixed.

    Args:
        same: the convolution.
        any_size: also for other sides; slower, because ONNX Runtime merges only fixed paddings into convolutions.
    """

    def __init__(self, same: Conv2dSame, *, any_size: bool) -> None:
        super().__init__()
        self.weight, self.bias = same.weight, same.bias
        self.stride, self.dilation, self.groups, self.any_size = same.stride, same.dilation, same.groups, any_size
        axes = zip(same.kernel_size, same.dilation, same.stride, strict=True)
        self.widths = [(kernel - 1) * rate + 1 - stride for kernel, rate, stride in axes]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d ho wo"]:
        down, across = self.widths
        if self.any_size:
            down, across = down + -x.shape[2] % self.stride[0], across + -x.shape[3] % self.stride[1]
        else:
            down, across = max(down, 0), max(across, 0)
        padding = (across // 2, across - across // 2, down // 2, down - down // 2)
        return F.conv2d(F.pad(x, padding), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def exportable(network: Any, *, multiple: int | None = None) -> Any:
    """Return a copy of the network in evaluation mode whose convolutions export; see `PaddedConv2d`.

    Args:
        multiple: both sides of an input image are multiples of this; None: of the deepest stride.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    stride = 1
    for name, module in list(network.named_modules()):  # in the order in which an image passes them
        if isinstance(module, Conv2dSame):
            stride *= max(module.stride)
            any_size = multiple is not None and multiple % stride != 0
            replace_module(network, name, PaddedConv2d(module, any_size=any_size))
    return network


class BackboneGraph(nn.Module):
    """A backbone's taps, then the deepest tap of a second one with the same normalisation, if there is one."""

    def __init__(self, backbone: Any, semantic: Any = None) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(map(exportable, [backbone] if semantic is None else [backbone, semantic]))

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> list[Float[Tensor, "b _c _h _w"]]:
        first: Any = self.backbones[0]
        inputs = first.normalise(images)
        return [*first(inputs), *(own(inputs)[-1] for own in self.backbones[1:])]


class SaliencyGraph(nn.Module):
    """A saliency network's map, at its own size."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = exportable(network)

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b hp wp"]:
        backbone = self.network.backbone
        return self.network.decode(backbone(backbone.normalise(images)))[:, 0].sigmoid()


class VectorsGraph(nn.Module):
    """ICNet's first pass: the vectors of one image under its saliency map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = exportable(network)

    def forward(self, images: UInt8[Tensor, "1 h w 3"], maps: Float[Tensor, "1 h w"]) -> list[Float[Tensor, "1 2 _c"]]:
        _, levels = self.network.features(self.network.backbone.normalise(images))
        vectors = self.network.vectors(levels, maps)
        return [vectors[stride] for stride in STRIDES]


class GroupMaskGraph(nn.Module):
    """ICNet's second pass: the probability of the common object in one image, given the vectors of its group."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = exportable(network)

    def forward(
        self, images: UInt8[Tensor, "1 h w 3"], maps: Float[Tensor, "1 h w"], *vectors: Float[Tensor, "n 2 _c"]
    ) -> Float[Tensor, "1 h w"]:
        network = self.network
        shallow, levels = network.features(network.backbone.normalise(images))
        attended = network.relate(levels, dict(zip(STRIDES, vectors, strict=True)))
        return calibrate(full_size(network.decode(attended, shallow, maps)[-1])[:, 0], network.config.threshold)


class SceneGraph(nn.Module):
    """A scene network's probabilities, for images of any size."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = exportable(network, multiple=1)

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b k h w"]:
        return self.network(self.network.backbone.normalise(images)).softmax(dim=1)
