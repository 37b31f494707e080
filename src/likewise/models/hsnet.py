"""HSNet: few-shot segmentation by squeezing hypercorrelations.

Min, Kang, Cho, "Hypercorrelation Squeeze for Few-Shot Segmentation", ICCV 2021.

    support image --> backbone --> mask --> unit --+
                                                   +--> correlate --> squeeze and mix --> decode --> resize --> softmax
    query image ----> backbone ----------> unit ---+

The backbone's taps are correlated one by one; the taps of one stride are the channels of one level. The levels of
strides 8, 16 and 32 are squeezed along the support plane and mixed from the deepest to the shallowest. Each shot is
decoded on its own; `likewise.ops.shots.vote` merges shots as the paper does.

We differ in four things. Images need not be square, nor of one size. Support planes of unequal size, which rounding
causes, are resized to the finer one. Images with a side below 32 pixels are enlarged to 32. A support mask too small
for a level is replaced by the finest level that holds it (`HSNetConfig.rescue`).

`likewise.models.hsnet_inference` encodes supports once for many queries and computes the same logits faster.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.models.blocks.renaming import rename_entry
from likewise.ops.features import plane_size, resize
from likewise.ops.hypercorrelation.correlation import (
    CenterPivotConv4d,
    Taps,
    correlate,
    masked_unit_features,
    resize4d,
    unit,
)

STRIDES = (8, 16, 32)
SMALLEST_SIDE = 32
"""Shortest image side, in pixels: one position at stride 32. Smaller images are enlarged."""


@dataclass(frozen=True)
class HSNetConfig:
    """Variants of the network.

    Attributes:
        mask_support: multiply support features by the mask; False gives the rows of the paper marked with a dagger.
        rescue: replace a support mask that vanishes at a level by the max-pooled mask of the finest level that holds
            it. The published program leaves such a level without correlations.
        channels: of the three layers of each squeeze block; the mix blocks and the decoder have the last number.
    """

    mask_support: bool = True
    rescue: bool = True
    channels: tuple[int, int, int] = (16, 64, 128)


def block(channels: tuple[int, ...], *, sides: tuple[int, ...], strides: tuple[int, ...]) -> nn.Sequential:
    """4D convolutions with kernels of these sides and strides, each followed by group norm and ReLU (section 4.3)."""
    layers: list[nn.Module] = []
    for channels_in, channels_out, side, stride in zip(channels[:-1], channels[1:], sides, strides, strict=True):
        layers.append(CenterPivotConv4d(channels_in, channels_out, kernel=side, stride=stride))
        layers += [nn.GroupNorm(4, channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


class HSNet(nn.Module):
    """Background and foreground logits of the query, one pair for each shot of an episode.

    The backbone has taps of strides 8, 16 and 32, at least one of each.
    """

    def __init__(self, backbone: Backbone, config: HSNetConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config or HSNetConfig()
        channels = self.config.channels
        self.strides = [tap.stride for tap in backbone.taps]
        if set(self.strides) != set(STRIDES):
            found = ", ".join(str(stride) for stride in sorted(set(self.strides)))
            raise ModelError(
                f"{backbone.spec.name} has taps of strides {found}; HSNet needs taps of strides 8, 16 and 32 and no "
                "others: choose them with `BackboneSpec.with_taps`"
            )
        taps8, taps16, taps32 = (self.strides.count(stride) for stride in STRIDES)
        width = channels[-1]
        self.squeeze8 = block((taps8, *channels), sides=(5, 5, 3), strides=(4, 4, 2))
        self.squeeze16 = block((taps16, *channels), sides=(5, 3, 3), strides=(4, 2, 2))
        self.squeeze32 = block((taps32, *channels), sides=(3, 3, 3), strides=(2, 2, 2))
        self.mix32to16 = block((width,) * 4, sides=(3, 3, 3), strides=(1, 1, 1))
        self.mix16to8 = block((width,) * 4, sides=(3, 3, 3), strides=(1, 1, 1))
        self.decoder = nn.Sequential(conv3x3(width, width), nn.ReLU(), conv3x3(width, width // 2), nn.ReLU())
        self.classifier = nn.Sequential(conv3x3(width // 2, width // 2), nn.ReLU(), conv3x3(width // 2, 2))

    def forward(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
    ) -> Float[Tensor, "b s 2 hq wq"]:
        """Return background and foreground logits at the size of the query, for each of `s` shots.

        Images are normalised for the backbone; `foreground` is in [0, 1], 1 where a support pixel belongs to the class.
        """
        shots = foreground.shape[1]
        support = self.support_features(self.taps(support_images.flatten(0, 1)), foreground.flatten(0, 1))
        query = [unit(tap).repeat_interleave(shots, dim=0) for tap in self.taps(query_images)]
        encoded = self.relate(query, support)
        logits = self.decode(encoded, plane_size(query_images))
        return rearrange(logits, "(b s) two h w -> b s two h w", s=shots)

    def support_features(self, taps: Taps, foreground: Float[Tensor, "b h w"]) -> Taps:
        """Return the unit features of every tap, zero outside the mask (section 4.1, equation 1)."""
        if not self.config.mask_support:
            return [unit(tap) for tap in taps]
        return masked_unit_features(taps, self.strides, foreground, rescue=self.config.rescue)

    def taps(self, images: Float[Tensor, "b 3 h w"]) -> Taps:
        """Return the backbone's feature maps, of images enlarged to at least 32 pixels a side."""
        height, width = (max(side, SMALLEST_SIDE) for side in images.shape[-2:])
        images = images.contiguous(memory_format=torch.channels_last)
        return self.backbone(resize(images, (height, width), align_corners=True))

    def of_stride(self, taps: list[Any], stride: int) -> list[Any]:
        """Return those of a list with one element for each tap that belong to a stride."""
        return [tap for tap, own in zip(taps, self.strides, strict=True) if own == stride]

    def relate(self, query: Taps, support: Taps) -> Float[Tensor, "b c hq wq"]:
        """Encode the query given the support, at stride 8, from the unit features of all taps."""
        levels = [self.level(query, support, stride) for stride in STRIDES]
        return self.squeeze_and_mix(*levels)

    def level(self, query: Taps, support: Taps, stride: int) -> Float[Tensor, "b t hq wq hs ws"]:
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

    def decode(self, encoded: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b 2 ho wo"]:
        """Return logits at `size` (height, width), by way of twice the encoded size (section 4.4)."""
        # Resizing two channels is faster with the channels first, and in single precision than in half.
        return resize(self.classify(encoded).float().contiguous(), size, align_corners=True)

    def classify(self, encoded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 2*h 2*w"]:
        """Return logits at twice the encoded size."""
        height, width = plane_size(encoded)
        features = resize(self.decoder(encoded), (2 * height, 2 * width), align_corners=True)
        return self.classifier(features)

    def loss(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
        query_labels: Int[Tensor, "b hq wq"],
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy over all query pixels and shots.

        Label 1 is foreground; any other label, void (255) too, is background, as published.
        """
        logits = self(support_images, foreground, query_images)
        target = (query_labels == 1).long()[:, None].expand(-1, logits.shape[1], -1, -1)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(0, 1))


PUBLISHED_NAMES = {
    "backbone.": "backbone.net.",
    "hpn_learner.encoder_layer4.": "squeeze32.",
    "hpn_learner.encoder_layer3.": "squeeze16.",
    "hpn_learner.encoder_layer2.": "squeeze8.",
    "hpn_learner.encoder_layer4to3.": "mix32to16.",
    "hpn_learner.encoder_layer3to2.": "mix16to8.",
    "hpn_learner.decoder1.": "decoder.",
    "hpn_learner.decoder2.": "classifier.",
}


def from_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the published program's entries under our names; they may start with `module.`.

    The backbone's unused classifier is left out.
    """
    found = {}
    for published, value in state.items():
        if published.removeprefix("module.").startswith(("backbone.fc.", "backbone.classifier.")):
            continue
        name = rename_entry(published, PUBLISHED_NAMES, "HSNet")
        if not name.startswith("backbone."):
            name = name.replace(".conv1.", ".query.").replace(".conv2.", ".support.")
        found[name] = value
    return found


def vgg16(config: HSNetConfig | None = None) -> HSNet:
    """The published variant on VGG-16: the convolutions of the last two blocks and the last pool."""
    taps = [f"features.{index}" for index in (18, 20, 22, 25, 27, 29, 30)]
    return HSNet(Backbone(BACKBONES["vgg16"].with_taps(*taps)), config)


def resnet(depth: int, config: HSNetConfig | None = None) -> HSNet:
    """The published variant on ResNet (`depth` 50 or 101): every bottleneck of layers 2, 3 and 4."""
    spec = BACKBONES[f"resnet{depth}"]
    return HSNet(Backbone(spec.with_taps(*(tap.module for tap in spec.taps if tap.stride in STRIDES))), config)


def lite0(config: HSNetConfig | None = None) -> HSNet:
    """Our variant on the bundled backbone: every block of stages 2 to 6, with 2, 6 and 5 taps."""
    spec = BACKBONES["lite0"]
    return HSNet(Backbone(spec.with_taps(*(tap.module for tap in spec.taps if tap.stride in STRIDES))), config)


def training_side(network: HSNet) -> int:
    """Return the side in pixels of the square images that a network is trained on."""
    return 256 if network.backbone.spec.name == "lite0" else 400
