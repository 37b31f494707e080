"""The building blocks of ICNet: co-attention at one level, and refinement of predictions."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from likewise.ops.features import plane_size, resize

SIZE = 224
"""Height and width of the images in pixels, as published. The self-correlation has one channel for each position."""


class Residual(nn.Module):
    """Return `relu(x + convolutions(x))`; there is no norm after the second convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*norm_relu(channels, channels), conv3x3(channels, channels))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return F.relu(x + self.convolutions(x))


class CoAttention(nn.Module):
    """Co-attention of each position of one level with the group's foreground and background vectors."""

    def __init__(self, stride: int, width: int) -> None:
        super().__init__()
        self.correlation = conv1x1((SIZE // stride) ** 2, width)
        self.side = Residual(width)
        self.merge = nn.Sequential(conv1x1(2 * width, width), Residual(width))

    def forward(
        self, features: Float[Tensor, "n c h w"], vectors: Float[Tensor, "group 2 c"]
    ) -> Float[Tensor, "n d h w"]:
        """Return the co-attention features of `n` images, each compared with the whole group."""
        height, width = plane_size(features)
        sides = []
        for side in vectors.unbind(dim=1):
            correlated = torch.stack([self.correlate(image, side) for image in features])
            sides.append(self.side(rearrange(correlated, "n (h w) d -> n d h w", h=height, w=width)))
        return self.merge(torch.cat(sides, dim=1))

    def correlate(self, features: Float[Tensor, "c h w"], vectors: Float[Tensor, "group c"]) -> Float[Tensor, "p d"]:
        """Return one image's reordered self-correlation, scaled by its attention, after the 1x1 convolution.

        The self-correlation has `<unit_i, unit_j>` in channel `i` at position `j`; its channels are sorted by
        attention, highest first. With `W` the convolution, `W (unit[order] unit^T)` is computed as
        `(W unit[order]) unit^T`. The attention scales positions, so it commutes with the 1x1 convolution.
        """
        unit = rearrange(F.normalize(features, dim=0), "c h w -> (h w) c")
        attention = co_attention(unit, vectors)
        order = attention.argsort(descending=True, stable=True)
        kernel = self.correlation.weight[:, :, 0, 0] @ unit[order]
        return torch.addcmul(self.correlation.bias, unit @ kernel.T, attention[:, None].to(unit.dtype))  # type: ignore[arg-type]


class Refinement(nn.Module):
    """Refine features and prediction by a shallow feature, gated by the coarsest prediction and by the SISM."""

    def __init__(self, channels: int, refined: int) -> None:
        super().__init__()
        self.compress = conv1x1(channels, refined)
        self.merge = nn.Sequential(*norm_relu(3 * refined, 3 * refined), *norm_relu(3 * refined, refined))
        self.predict = prediction(refined)

    def forward(
        self,
        shallow: Float[Tensor, "n c h w"],
        coarse: Float[Tensor, "n r hc wc"],
        gate: Float[Tensor, "n 1 hg wg"],
        sisms: Float[Tensor, "n 1 hs ws"],
    ) -> tuple[Float[Tensor, "n r h w"], Float[Tensor, "n 1 h w"]]:
        """Return the finer feature and its prediction, in [0, 1]."""
        shallow = self.compress(shallow)
        gate, sisms, coarse = (resize(part, plane_size(shallow), align_corners=True) for part in (gate, sisms, coarse))
        finer = self.merge(torch.cat([shallow * gate, shallow * sisms, coarse], dim=1))
        return finer, self.predict(finer)


def co_attention(unit: Float[Tensor, "p c"], vectors: Float[Tensor, "group c"]) -> Float[Tensor, " p"]:
    """Return the co-salient attention of one image, in [0, 1]: its attention maps, fused by their agreement.

    Computed in double precision, so that neither the order of the group nor rounding swaps positions; in single
    precision on Apple's GPUs, which have no double.
    """
    precision = torch.float32 if unit.device.type == "mps" else torch.float64
    maps = F.normalize(vectors.to(precision) @ unit.to(precision).T, dim=1)
    agreement = maps @ maps.sum(dim=0)
    fused = agreement.softmax(dim=0) @ maps
    return (fused - fused.min()) / (fused.max() - fused.min() + 1e-12)


def conv1x1(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=1)


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


def norm_relu(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    return conv3x3(channels_in, channels_out), nn.BatchNorm2d(channels_out), nn.ReLU()


def prediction(channels: int) -> nn.Sequential:
    return nn.Sequential(conv1x1(channels, 1), nn.Sigmoid())
