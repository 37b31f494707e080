"""The encoder and the decoder's end that `HSNet` and `PrototypeHSNet` share.

Min, Kang, Cho, "Hypercorrelation Squeeze for Few-Shot Segmentation", ICCV 2021, sections 4.1 to 4.4.

    query taps ----+
                   +--> correlate, by stride --> squeeze --> mix, deepest first --> mean over the support plane
    support taps --+
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, nn

from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.io.labels import IGNORE
from likewise.ops.features import plane_size, resize, soft_iou_loss
from likewise.ops.hypercorrelation.correlation import correlate, resize4d
from likewise.ops.hypercorrelation.kernels import KERNELS

STRIDES = (8, 16, 32)
SMALLEST_SIDE = 32
"""Shortest image side, in pixels: one position at stride 32. Smaller images are enlarged."""


class HypercorrelationEncoder(nn.Module):
    """Base class: the backbone's features of every image, and the encoding of a query given a support.

    Args:
        backbone: its taps have strides 8, 16 and 32, at least one tap of each.
        kernel: name of the 4D kernel (`KERNELS`).
        channels: of the three layers of each squeeze block; the mix blocks have the last number throughout.
    """

    def __init__(self, backbone: Backbone, *, kernel: str, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.strides = [tap.stride for tap in backbone.taps]
        if set(self.strides) != set(STRIDES):
            found = ", ".join(str(stride) for stride in sorted(set(self.strides)))
            raise ModelError(
                f"{backbone.spec.name} has taps of strides {found}; HSNet needs taps of strides 8, 16 and 32 and no "
                "others: choose them with `BackboneSpec.with_taps`"
            )
        if kernel not in KERNELS:
            raise ModelError(f"no 4D kernel {kernel!r}; choose one of: {', '.join(KERNELS)}")
        taps8, taps16, taps32 = (self.strides.count(stride) for stride in STRIDES)
        width = channels[-1]
        self.squeeze8 = block(kernel, (taps8, *channels), sides=(5, 5, 3), strides=(4, 4, 2))
        self.squeeze16 = block(kernel, (taps16, *channels), sides=(5, 3, 3), strides=(4, 2, 2))
        self.squeeze32 = block(kernel, (taps32, *channels), sides=(3, 3, 3), strides=(2, 2, 2))
        self.mix32to16 = block(kernel, (width,) * 4, sides=(3, 3, 3), strides=(1, 1, 1))
        self.mix16to8 = block(kernel, (width,) * 4, sides=(3, 3, 3), strides=(1, 1, 1))

    def taps(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Return the backbone's feature maps, of images enlarged to at least 32 pixels a side."""
        height, width = (max(side, SMALLEST_SIDE) for side in images.shape[-2:])
        images = images.contiguous(memory_format=torch.channels_last)
        return self.backbone(resize(images, (height, width), align_corners=True))

    def of_stride(self, taps: list[Tensor], stride: int) -> list[Tensor]:
        return [tap for tap, own in zip(taps, self.strides, strict=True) if own == stride]

    def relate(
        self, query: list[Float[Tensor, "b _c _hq _wq"]], support: list[Float[Tensor, "b _c _hs _ws"]]
    ) -> Float[Tensor, "b c hq wq"]:
        """Encode the query given the support, at stride 8, from the unit features of all taps."""
        levels = [self.level(query, support, stride) for stride in STRIDES]
        return self.squeeze_and_mix(*levels)

    def level(
        self, query: list[Float[Tensor, "b _c _hq _wq"]], support: list[Float[Tensor, "b _c _hs _ws"]], stride: int
    ) -> Float[Tensor, "b t hq wq hs ws"]:
        """Return the hypercorrelation of one stride: its taps are the channels (section 4.1)."""
        return correlate(self.of_stride(query, stride), self.of_stride(support, stride))

    def squeeze_and_mix(
        self,
        level8: Float[Tensor, "b t8 h8 w8 hs8 ws8"],
        level16: Float[Tensor, "b t16 h16 w16 hs16 ws16"],
        level32: Float[Tensor, "b t32 h32 w32 hs32 ws32"],
    ) -> Float[Tensor, "b c h8 w8"]:
        """Squeeze each level along the support plane and mix them from the deepest to the shallowest (section 4.3)."""
        squeezed8, squeezed16 = self.squeeze8(level8), self.squeeze16(level16)
        mixed = self.mix32to16(resize4d(self.squeeze32(level32), squeezed16.shape[2:]) + squeezed16)
        mixed = self.mix16to8(resize4d(mixed, squeezed8.shape[2:]) + squeezed8)
        return reduce(mixed, "b c hq wq hs ws -> b c hq wq", "mean")


def block(kernel: str, channels: tuple[int, ...], *, sides: tuple[int, ...], strides: tuple[int, ...]) -> nn.Sequential:
    """4D convolutions with kernels of these sides and strides, each followed by group norm and ReLU (section 4.3)."""
    layers: list[nn.Module] = []
    for channels_in, channels_out, side, stride in zip(channels[:-1], channels[1:], sides, strides, strict=True):
        layers.append(KERNELS[kernel](channels_in, channels_out, kernel=side, stride=stride))
        layers += [nn.GroupNorm(4, channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


def decoder(channels: int, width: int) -> nn.Sequential:
    """The two convolutions of the decoder at the encoder's size (section 4.4)."""
    return nn.Sequential(conv3x3(channels, width), nn.ReLU(), conv3x3(width, width // 2), nn.ReLU())


def classifier(width: int) -> nn.Sequential:
    """The two convolutions of the decoder at twice the encoder's size (section 4.4)."""
    return nn.Sequential(conv3x3(width // 2, width // 2), nn.ReLU(), conv3x3(width // 2, 2))


def classify(
    classifier: nn.Sequential, features: Float[Tensor, "b c h w"], size: tuple[int, int]
) -> Float[Tensor, "b 2 ho wo"]:
    """Return single-precision logits at `size` (height, width) from the features resized to twice their own size."""
    height, width = plane_size(features)
    logits = classifier(resize(features, (2 * height, 2 * width), align_corners=True))
    # Resizing two channels is faster with the channels first, and in single precision than in half.
    return resize(logits.float().contiguous(), size, align_corners=True)


class Losses(NamedTuple):
    """Two losses of the same logits; training minimises one of them.

    Attributes:
        query: mean cross-entropy, the published loss.
        overlap: one minus the soft IoU of the foreground over all pixels of the batch, void pixels left out; ours.
    """

    query: Float[Tensor, ""]
    overlap: Float[Tensor, ""]


def few_shot_losses(logits: Float[Tensor, "b s 2 h w"], labels: Int[Tensor, "b h w"]) -> Losses:
    """Return the losses over all query pixels and shots.

    Args:
        labels: 1 for foreground; any other label, void (255) too, is background in the cross-entropy, as published.
    """
    foreground = (labels == 1)[:, None].expand(-1, logits.shape[1], -1, -1)
    probability = logits.float().softmax(dim=2)[:, :, 1] * (labels != IGNORE)[:, None]
    flat = "b s h w -> 1 1 (b s h) w"
    return Losses(
        F.cross_entropy(logits.flatten(0, 1), foreground.long().flatten(0, 1)),
        soft_iou_loss(rearrange(probability, flat), rearrange(foreground, flat)[0].float()),
    )
