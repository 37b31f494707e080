"""Heads and losses of scene networks.

features --> classifier --> logits --> Detail --> logits of a finer stride
logits, labels --> cross_entropy, overlap_loss
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Integer
from torch import Tensor, nn

from likewise.backbones.specs import Tap
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.io.labels import IGNORE
from likewise.models.blocks.context import conv_norm_relu
from likewise.ops.features import plane_size, resize, resize_matrix, soft_iou_loss


def classifier(channels_in: int, channels: int, classes: int, *, kernel: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        *conv_norm_relu(channels_in, channels, kernel), nn.Dropout2d(dropout), nn.Conv2d(channels, classes, 1)
    )


class Detail(nn.Module):
    """Refine logits at a finer stride, from features of both strides; thin objects need them.

    A small decoder of 64 channels as in Chen et al., "Encoder-Decoder with Atrous Separable Convolution for
    Semantic Image Segmentation" (DeepLabv3+), ECCV 2018. Its output is added to the resized logits.
    """

    def __init__(self, channels_fine: int, channels: int, classes: int) -> None:
        super().__init__()
        inner = 32
        self.fine, self.coarse = conv_norm_relu(channels_fine, inner), conv_norm_relu(channels, 2 * inner)
        self.join = nn.Sequential(*conv_norm_relu(3 * inner, 2 * inner, 3), nn.Conv2d(2 * inner, classes, 1))

    def forward(
        self, logits: Float[Tensor, "b k h w"], features: Float[Tensor, "b c h w"], fine: Float[Tensor, "b cf hf wf"]
    ) -> Float[Tensor, "b k hf wf"]:
        """Return logits at the size of `fine`."""
        size = plane_size(fine)
        logits, coarse = (resize(part, size, align_corners=False) for part in (logits, self.coarse(features)))
        return logits + self.join(torch.cat([self.fine(fine), coarse], dim=1))


def auxiliary_taps(backbone: Backbone, detail: bool) -> tuple[Tap, ...]:
    """Return the taps that may feed the auxiliary head: all but the last, and but the first with a detail head."""
    return backbone.taps[int(detail) : -1]


def build_detail(backbone: Backbone, channels: int, classes: int) -> Detail:
    """Return the detail head for the backbone's first tap, which must be finer than the last."""
    fine, top = backbone.taps[0], backbone.taps[-1]
    if fine.stride >= top.stride:
        raise ModelError(
            f"detail needs a first tap of a finer stride than the last, but {fine.module} has stride {fine.stride} and "
            f"{top.module} has {top.stride}; add a shallower tap, such as blocks.1.1 of lite0-stride8"
        )
    return Detail(fine.channels, channels, classes)


def cross_entropy(
    logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b hl wl"], weights: Float[Tensor, " k"] | None = None
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over labelled pixels, weighted by class, of the resized logits; 0 without any."""
    weights = logits.new_ones(logits.shape[1], dtype=torch.float32) if weights is None else weights.float()
    with torch.autocast(logits.device.type, enabled=False):
        resized = resize_to_labels(labels, logits.float())
        total = F.cross_entropy(resized, labels.long(), weights, ignore_index=IGNORE, reduction="sum")
    weight = total_pixel_weight(labels, weights)
    return total / weight.where(weight > 0, 1)


def overlap_loss(logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b hl wl"]) -> Float[Tensor, ""]:
    """Return one minus the soft IoU over all images, averaged over the classes that occur; 0 without any.

    Like mIoU, it gives rare and frequent classes the same weight (Rahman and Wang, "Optimizing Intersection-over-Union
    in Deep Neural Networks for Image Segmentation", ISVC 2016).
    """
    classes = labels[labels != IGNORE].unique().long()
    if not len(classes):
        return logits.new_zeros(())
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = resize_to_labels(labels, logits.float()).softmax(dim=1)[:, classes]
        probabilities = probabilities * (labels != IGNORE)[:, None]
    masks = (labels[:, None] == classes[:, None, None]).to(probabilities.dtype)
    return soft_iou_loss(rearrange(probabilities, "b k h w -> k 1 (b h) w"), rearrange(masks, "b k h w -> k (b h) w"))


def resize_to_labels(
    labels: Integer[Tensor, "b hl wl"], logits: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b k hl wl"]:
    """Return the logits resized to the labels by two matrix products, whose backward pass is faster than `resize`'s."""
    rows = resize_matrix(logits.shape[2], labels.shape[1], align_corners=False, like=logits)
    columns = resize_matrix(logits.shape[3], labels.shape[2], align_corners=False, like=logits)
    return rows @ (logits @ columns.T)


def total_pixel_weight(labels: Integer[Tensor, "b h w"], weights: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Return the sum of the class weights over all labelled pixels."""
    pixels = labels.long().flatten().bincount(minlength=IGNORE + 1)[: len(weights)]
    return (pixels * weights).sum()
