"""What scene networks have in common: heads that give each pixel's logits, and the losses of those.

features -> classifier -> logits -> Detail, with features of a finer stride -> logits there
logits, labels -> cross_entropy, overlap_loss
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Integer
from torch import Tensor, nn

from likewise.backbones.specs import Tap
from likewise.backbones.taps import Backbone
from likewise.io.labels import IGNORE
from likewise.models.blocks.context import unit
from likewise.ops.features import plane_size, resize, resize_matrix, soft_iou_loss


def classifier(channels_in: int, channels: int, classes: int, *, kernel: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*unit(channels_in, channels, kernel), nn.Dropout2d(dropout), nn.Conv2d(channels, classes, 1))


class Detail(nn.Module):
    """Logits at a finer stride, from features there beside those that the logits were made of: thin things need both.

    A small decoder as in Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
    Segmentation" (DeepLabv3+), ECCV 2018; it gives what is added to the resized logits.
    """

    def __init__(self, channels_fine: int, channels: int, classes: int, *, inner: int = 32) -> None:
        super().__init__()
        self.fine, self.coarse = unit(channels_fine, inner), unit(channels, 2 * inner)
        self.join = nn.Sequential(*unit(3 * inner, 2 * inner, 3), nn.Conv2d(2 * inner, classes, 1))

    def forward(
        self,
        logits: Float[Tensor, "b k h w"],
        features: Float[Tensor, "b c h w"],
        fine: Float[Tensor, "b cf hf wf"],
    ) -> Float[Tensor, "b k hf wf"]:
        size = plane_size(fine)
        logits, coarse = (resize(part, size, align_corners=False) for part in (logits, self.coarse(features)))
        return logits + self.join(torch.cat([self.fine(fine), coarse], dim=1))


def taps_before(backbone: Backbone, detail: bool) -> tuple[Tap, ...]:
    """The taps before the last that are not for the detail head."""
    return backbone.taps[int(detail) : -1]


def detail_of(backbone: Backbone, channels: int, classes: int) -> Detail:
    """The detail head for the backbone's first tap.

    Raises:
        ValueError: that is no finer than the last.
    """
    fine, top = backbone.taps[0], backbone.taps[-1]
    if fine.stride >= top.stride:
        raise ValueError(
            f"detail needs a first tap of a finer stride than the last; {fine.module} has {fine.stride}, {top.module} "
            f"has {top.stride}: add a shallower one, as blocks.1.1 of lite0-stride8"
        )
    return Detail(fine.channels, channels, classes)


def cross_entropy(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b hl wl"],
    weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """The mean over the labelled pixels, by their classes' weights, of the logits resized to them; 0 if none is."""
    weights = logits.new_ones(logits.shape[1], dtype=torch.float32) if weights is None else weights.float()
    with torch.autocast(logits.device.type, enabled=False):
        resized = as_large_as(labels, logits.float())
        total = F.cross_entropy(resized, labels.long(), weights, ignore_index=IGNORE, reduction="sum")
    weight = weight_of_pixels(labels, weights)
    return total / weight.where(weight > 0, 1)


def overlap_loss(logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b hl wl"]) -> Float[Tensor, ""]:
    """One minus the soft IoU of a class, of all images together, mean over the classes that occur; 0 if none does.

    What mIoU counts, so that a class of few pixels weighs as much as one of many (Rahman and Wang, "Optimizing
    Intersection-over-Union in Deep Neural Networks for Image Segmentation", ISVC 2016).
    """
    classes = labels[labels != IGNORE].unique().long()
    if not len(classes):
        return logits.new_zeros(())
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = as_large_as(labels, logits.float()).softmax(dim=1)[:, classes]
        probabilities = probabilities * (labels != IGNORE)[:, None]
    masks = (labels[:, None] == classes[:, None, None]).to(probabilities.dtype)
    return soft_iou_loss(rearrange(probabilities, "b k h w -> k 1 (b h) w"), rearrange(masks, "b k h w -> k (b h) w"))


def as_large_as(labels: Integer[Tensor, "b hl wl"], logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k hl wl"]:
    """The logits at the size of the labels, as `resize` does; the backward pass of two products is much quicker."""
    rows = resize_matrix(logits.shape[2], labels.shape[1], align_corners=False, like=logits)
    columns = resize_matrix(logits.shape[3], labels.shape[2], align_corners=False, like=logits)
    return rows @ (logits @ columns.T)


def weight_of_pixels(labels: Integer[Tensor, "b h w"], weights: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """The sum over the labelled pixels of what their classes weigh."""
    pixels = labels.long().flatten().bincount(minlength=IGNORE + 1)[: len(weights)]
    return (pixels * weights).sum()
