"""SaliencyNet: single-image saliency, the input of co-saliency (ICNet). Ours.

    images --> backbone --> levels of stride 4, 8, 16, 32 --> decode, deepest first --> resize --> sigmoid

The decoder is a feature pyramid (Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017) with depthwise
convolutions. The image's mean feature is added to the deepest level, because saliency depends on the whole image.
Images may have any size and aspect.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.io.labels import IGNORE
from likewise.ops.features import plane_size, resize

WIDTH = 64
"""Channels of the decoder of the bundled weights."""
SIDE = 224
"""Side of images in pixels, as in training; the map is 56 x 56 before it is resized."""


class Smooth(nn.Module):
    """A residual block: a 5x5 depthwise and a 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(width, width, kernel_size=5, padding=2, groups=width, bias=False)
        self.norm_across = nn.BatchNorm2d(width)
        self.mix = nn.Conv2d(width, width, kernel_size=1, bias=False)
        self.norm_mix = nn.BatchNorm2d(width)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        inner = F.relu(self.norm_across(self.across(x)))
        return x + F.relu(self.norm_mix(self.mix(inner)))


class SaliencyNet(nn.Module):
    """Probability that each pixel belongs to a salient object.

    The backbone's taps have increasing strides; the logits have the first one. The decoder has `width` channels.
    """

    def __init__(self, backbone: Backbone, width: int = WIDTH) -> None:
        super().__init__()
        self.backbone = backbone
        channels = [tap.channels for tap in reversed(backbone.taps)]
        for shallow, deep in pairwise(backbone.taps):
            assert shallow.stride < deep.stride
        self.context = nn.Conv2d(channels[0], width, kernel_size=1)
        self.laterals = nn.ModuleList(nn.Conv2d(count, width, kernel_size=1) for count in channels)
        self.smooth = nn.ModuleList(Smooth(width) for _ in channels)
        self.predict = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h w"]:
        """Return probabilities at the size of the images, which are normalised for the backbone."""
        logits = self.decode(self.backbone(images))
        return resize(logits, plane_size(images), align_corners=False)[:, 0].sigmoid()

    def decode(self, levels: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 1 hf wf"]:
        """Return logits at the size of the shallowest level, from levels shallow to deep."""
        deepest, *finer = reversed(levels)
        merged = self.laterals[0](deepest) + self.context(deepest.mean(dim=(2, 3), keepdim=True))
        merged = self.smooth[0](merged)
        for level, lateral, smooth in zip(finer, self.laterals[1:], self.smooth[1:], strict=True):
            merged = smooth(resize(merged, plane_size(level), align_corners=False) + lateral(level))
        return self.predict(merged)

    def loss(self, images: Float[Tensor, "b 3 h w"], labels: UInt8[Tensor, "b h w"]) -> Float[Tensor, ""]:
        """Return `saliency_loss` at the size of the images."""
        logits = resize(self.decode(self.backbone(images)), plane_size(images), align_corners=False)[:, 0]
        return saliency_loss(logits, labels)


def saliency_loss(logits: Float[Tensor, "b h w"], labels: UInt8[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the pixels plus the mean over images of one minus the soft IoU.

    Labels are 1 for salient, 0 for background, 255 for void.
    """
    valid = (labels != IGNORE).to(logits.dtype)
    target = (labels == 1).to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight=valid, reduction="sum")
    probability = logits.sigmoid() * valid
    intersection = (probability * target).sum(dim=(1, 2))
    union = torch.maximum(probability, target).sum(dim=(1, 2))
    # smoothed by one pixel, so that an empty prediction is optimal for an empty mask
    iou = (intersection + 1) / (union + 1)
    return entropy / valid.sum().clamp_min(1) + (1 - iou).mean()


LITE0_BACKBONE = BACKBONES["lite0"].with_taps("blocks.1.1", "blocks.2.1", "blocks.4.2", "blocks.5.3")
"""The last block of strides 4, 8, 16 and 32."""


def lite0(width: int = WIDTH) -> SaliencyNet:
    """The bundled variant, with logits of stride 4."""
    return SaliencyNet(Backbone(LITE0_BACKBONE, frozen=False), width)
