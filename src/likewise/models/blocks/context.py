"""Context within the image for scene networks: attention, and three context modules.

Each module maps the backbone's features and coarse class logits to context features:

    PyramidPooling   means over 1, 4, 9 and 36 parts of the image (Zhao et al., PSPNet, CVPR 2017)
    AtrousPyramid    convolutions dilated by 1, 12, 24 and 36, and the image's mean (Chen et al., DeepLabv3, 2017)
    ObjectContext    attention over the mean features of soft class regions (Yuan et al., OCR, ECCV 2020)

MCIBI attends to one of them beside its memory, or to none.
"""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from likewise.ops.features import plane_size, resize


def conv_norm_relu(channels_in: int, channels: int, kernel: int = 1, *, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size, batch norm and ReLU."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(channels_in, channels, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


class Attention(nn.Module):
    """Attention of each pixel over all positions, or all regions, of the context."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Sequential(conv_norm_relu(channels, inner), conv_norm_relu(inner, inner))
        self.key = nn.Sequential(conv_norm_relu(channels, inner), conv_norm_relu(inner, inner))
        self.value = conv_norm_relu(channels, inner)
        self.out = conv_norm_relu(inner, channels)

    def forward(
        self, features: Float[Tensor, "b c h w"], context: Float[Tensor, "b c hc wc"]
    ) -> Float[Tensor, "b c h w"]:
        query, key, value = (
            rearrange(part, "b d h w -> b 1 (h w) d")
            for part in (self.query(features), self.key(context), self.value(context))
        )
        attended = F.scaled_dot_product_attention(query, key, value)  # scaled by 1 / sqrt(d)
        return self.out(rearrange(attended, "b 1 (h w) d -> b d h w", h=features.shape[2]))


class PyramidPooling(nn.Module):
    """PPM: means over 1, 4, 9 and 36 parts of the image, concatenated with the features."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(parts), *conv_norm_relu(channels_in, channels)) for parts in (1, 2, 3, 6)
        )
        self.join = conv_norm_relu(channels_in + 4 * channels, channels, 3)

    def forward(self, x: Float[Tensor, "b ci h w"], logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        pooled = [resize(branch(x), plane_size(x), align_corners=False) for branch in self.branches]
        return self.join(torch.cat([x, *pooled], dim=1))


class AtrousPyramid(nn.Module):
    """ASPP: convolutions dilated by 1, 12, 24 and 36, and the mean of the image."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv_norm_relu(channels_in, channels),
                *(conv_norm_relu(channels_in, channels, 3, dilation=dilation) for dilation in (12, 24, 36)),
            ]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(channels_in, channels))
        self.join = conv_norm_relu(5 * channels, channels, 3)

    def forward(self, x: Float[Tensor, "b ci h w"], logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        pooled = resize(self.pooled(x), plane_size(x), align_corners=False)
        return self.join(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))


class ObjectContext(nn.Module):
    """OCR: mean features of soft class regions, attended to by each pixel.

    Gradients reach the coarse logits too. A single class has one region, the whole image.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.reduce = conv_norm_relu(channels_in, channels, 3)
        self.attend = Attention(channels, max(1, channels // 2))
        self.join = conv_norm_relu(2 * channels, channels)

    def forward(self, x: Float[Tensor, "b ci h w"], logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        features = self.reduce(x)
        share = logits.flatten(2).softmax(dim=2)  # weight of each pixel in each region
        regions = einsum(share, features.flatten(2), "b k p, b c p -> b c k")[..., None]
        return self.join(torch.cat([self.attend(features, regions), features], dim=1))


CONTEXTS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "ppm": PyramidPooling,
    "aspp": AtrousPyramid,
    "ocr": ObjectContext,
}
