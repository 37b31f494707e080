"""HSNet: few-shot segmentation by squeezing hypercorrelations.

Min, Kang, Cho, "Hypercorrelation Squeeze for Few-Shot Segmentation", ICCV 2021.

    support image --> backbone --> mask --> unit --+
                                                   +--> correlate --> squeeze and mix --> decode --> resize --> softmax
    query image ----> backbone ----------> unit ---+

Every tap of the backbone is correlated, tap by tap; the taps of one stride are the channels of one level. The levels
of strides 8, 16 and 32 are squeezed along the support plane and mixed from the deepest to the shallowest.

We differ in five things. Images need not be square, nor of one size. Support planes that come out unequal (their
sizes were rounded down on the way) are resized to the finer. Images with a side below 32 pixels are first enlarged
to 32. A support mask too small for a level takes the weights of the finest level that holds it, and prototypes may
join in (both: `HSNetConfig`).

For one concept and many images, `likewise.models.hsnet_learned` gives the same answers sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.io.labels import IGNORE
from likewise.models.blocks.renaming import renamed
from likewise.ops.features import plane_size, resize, side_by_side, soft_iou_loss
from likewise.ops.hypercorrelation.correlation import correlate, masks_of_levels, resize4d, unit
from likewise.ops.hypercorrelation.kernels import KERNELS
from likewise.ops.prototypes import (
    SCALE,
    Shown,
    likeness,
    show,
    together,
)
from likewise.ops.shots import weights_by_area

STRIDES = (8, 16, 32)
SMALLEST_SIDE = 32
JOINED_SCALE = 4.0
"""Their factor before the decoder, where they are of the size of what they join then."""
CAUTION = 0.25
"""So much lower would the foreground's logit be of very many shots than of one, where prototypes join in."""


DECODED_SHOTS = 5
"""Of more shots the decoder would count so little, where prototypes join in, that it is not asked."""


@dataclass(frozen=True)
class HSNetConfig:
    """What can be chosen.

    Attributes:
        kernel: the 4D kernel (Table 4): "center-pivot", "separable" or "full".
        mask_support: support features are multiplied by the mask; without it, the paper's rows with a dagger.
        rescue: where a support mask vanishes when resized to a level, each position there takes the largest weight
            that the finest level still holding the mask has in its place. The published program leaves such a level
            without any correlation.
        channels: of the three layers of each squeeze block; the last are those of the mix blocks and of the decoder.
        prototype_taps: taps whose prototypes join in, as PANet has them: the cosines of the query with the foreground's
            and the background's mean feature go into the decoder, and once more into the logits. None as published.
        self_support: the query joins the shots of these prototypes (`likewise.ops.prototypes`): the cosines with both go
            into the decoder, and those with the latter into the logits.

    Where prototypes join in, several shots are one: the decoder sees the mean of what they say, as the prototypes are
    means, both with more weight for a shot whose object is larger (`shots.weights_by_area`); prototypes and query are
    whitened by how features spread within the classes (`likewise.ops.prototypes`); and what the decoder adds to the
    prototypes' logits counts one by the square of the shots: it has to mend less, the better the prototypes are. Of
    more than `DECODED_SHOTS` nothing is decoded: prototypes answer alone, and more shots do not take longer.
    Because a mean of prototypes is nearer to everything than one of them, and the foreground's gains more by it, the
    foreground's logit then falls by up to `CAUTION`. As published each shot is decoded on its own.
    """

    kernel: str = "center-pivot"
    mask_support: bool = True
    rescue: bool = True
    channels: tuple[int, int, int] = (16, 64, 128)
    prototype_taps: tuple[str, ...] = ()
    self_support: bool = False


class Query(NamedTuple):
    """What is compared of some queries.

    Attributes:
        units: unit features of every tap.
        compared: the features that are compared with prototypes; of no channels without `prototype_taps`.
    """

    units: list[Tensor]
    compared: Float[Tensor, "b c h w"]


class Losses(NamedTuple):
    """What training minimises.

    Attributes:
        query: the cross-entropy of the logits, as published.
        overlap: one minus the soft IoU of the foreground, of the pixels of all queries and shots together, as the
            protocols add them up; void pixels do not count.
    """

    query: Float[Tensor, ""]
    overlap: Float[Tensor, ""]


def block(kernel: str, channels: tuple[int, ...], shapes: tuple[tuple[int, int], ...]) -> nn.Sequential:
    """4D convolutions of the given (kernel, stride), each followed by group norm over all four axes and ReLU."""
    layers: list[nn.Module] = []
    for channels_in, channels_out, (side, stride) in zip(channels, channels[1:], shapes, strict=False):
        layers.append(KERNELS[kernel](channels_in, channels_out, kernel=side, stride=stride))
        layers += [nn.GroupNorm(4, channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


class HSNet(nn.Module):
    """Logits of the query pixels, background and foreground, for each shot of an episode.

    Args:
        backbone: gives the features; every tap is of stride 8, 16 or 32, and there are taps of each.
        config: the choices.
    """

    def __init__(self, backbone: Backbone, config: HSNetConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config or HSNetConfig()
        strides = [tap.stride for tap in backbone.taps]
        if set(strides) != set(STRIDES):
            found = ", ".join(str(stride) for stride in sorted(set(strides)))
            raise ValueError(
                f"{backbone.spec.name} has taps of strides {found}; HSNet needs taps of strides 8, 16 and 32 and no "
                "others: choose them with `BackboneSpec.with_taps`"
            )
        if self.config.kernel not in KERNELS:
            raise ValueError(f"no 4D kernel {self.config.kernel!r}; there are: {', '.join(KERNELS)}")
        kernel, channels, width = self.config.kernel, self.config.channels, self.config.channels[-1]
        self.squeeze8 = block(kernel, (strides.count(8), *channels), ((5, 4), (5, 4), (3, 2)))
        self.squeeze16 = block(kernel, (strides.count(16), *channels), ((5, 4), (3, 2), (3, 2)))
        self.squeeze32 = block(kernel, (strides.count(32), *channels), ((3, 2), (3, 2), (3, 2)))
        self.mix32to16 = block(kernel, (width, width, width, width), ((3, 1), (3, 1), (3, 1)))
        self.mix16to8 = block(kernel, (width, width, width, width), ((3, 1), (3, 1), (3, 1)))
        backbone.spec.with_taps(*self.config.prototype_taps)  # raises for a name that is no tap
        if self.config.self_support and not self.config.prototype_taps:
            raise ValueError("self_support moves prototypes, and there are none: name `prototype_taps`")
        joined = (4 if self.config.self_support else 2) if self.config.prototype_taps else 0
        self.decoder = nn.Sequential(
            *(convolution(width + joined, width), nn.ReLU()), *(convolution(width, width // 2), nn.ReLU())
        )
        last = convolution(width // 2, 2)
        self.classifier = nn.Sequential(convolution(width // 2, width // 2), nn.ReLU(), last)
        if self.config.prototype_taps:
            self.trust = nn.Parameter(torch.ones(()))
            nn.init.normal_(last.weight, std=1e-3)  # so that training starts from what the prototypes say
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
    ) -> Float[Tensor, "b t 2 hq wq"]:
        """Logits at the size of the query: background and foreground, of each shot, or where prototypes join in of all.

        Args:
            support_images: for each of `b` episodes, `s` shots, normalised for the backbone.
            foreground: 1 where a support pixel belongs to the class, in [0, 1].
            query_images: normalised as the support is.
        """
        shots, size, mask = foreground.shape[1], plane_size(query_images), foreground.flatten(0, 1)
        support, query = self.taps(support_images.flatten(0, 1)), self.look(query_images)
        features = self.support_features(support, mask)
        weights = weights_by_area(rearrange(self.areas(features), "(b s) -> b s", s=shots))
        shown = self.show(support, mask, 1 - mask)
        prototypes = together(Shown(*(part.unflatten(0, (-1, shots)) for part in shown)), weights)
        alike = likeness(query.compared, prototypes, self_support=self.config.self_support)
        encoded = None
        if self.decoded(shots):
            encoded = self.relate([tap.repeat_interleave(shots, dim=0) for tap in query.units], features)
            encoded = encoded.unflatten(0, (-1, shots))
        return self.decode_shots(encoded, size, alike, weights)

    def decoded(self, shots: int) -> bool:
        """Whether so many shots of a class are related to the query at all (`HSNetConfig`)."""
        return not self.config.prototype_taps or shots <= DECODED_SHOTS

    def support_features(
        self, taps: list[Float[Tensor, "b _c _h _w"]], foreground: Float[Tensor, "b h w"]
    ) -> list[Float[Tensor, "b _c _h _w"]]:
        """Unit features of every tap under the mask, zero outside it (section 4.1, equation 1)."""
        if not self.config.mask_support:
            return [unit(tap) for tap in taps]
        planes = {where.stride: tap.shape[-2:] for where, tap in zip(self.backbone.taps, taps, strict=True)}
        # Always in single precision: where a sample falls on a pixel but for rounding, the weight of its neighbour is
        # 1e-6 or 0, and the unit of so small a feature is far from small.
        masks = masks_of_levels(foreground.float(), planes, rescue=self.config.rescue)
        return [
            unit(tap * masks[where.stride][:, None].to(tap.dtype))
            for where, tap in zip(self.backbone.taps, taps, strict=True)
        ]

    def areas(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, " b"]:
        """The share of each shot's finest positions that `support_features` left any features at; at least one."""
        seen = torch.stack([tap.any(dim=1) for tap in self.of_stride(features, STRIDES[0])]).any(dim=0).flatten(1)
        return seen.sum(dim=1).clamp_min(1) / seen.shape[1]

    def show(
        self,
        taps: list[Float[Tensor, "b _c _h _w"]],
        foreground: Float[Tensor, "b h w"],
        background: Float[Tensor, "b h w"],
    ) -> Shown:
        """What makes prototypes of each shot; of no channels without `prototype_taps`."""
        return show(self.compared(taps), background, foreground)

    def compared(self, taps: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b c h w"]:
        """The taps that make prototypes, side by side at the size of the shallowest; without any, no channels."""
        chosen = [
            tap
            for tap, where in zip(taps, self.backbone.taps, strict=True)
            if where.module in self.config.prototype_taps
        ]
        return side_by_side(chosen or [taps[-1][:, :0]], align_corners=False)

    def look(self, images: Float[Tensor, "b 3 h w"]) -> Query:
        """What is compared of some queries."""
        taps = self.taps(images)
        compared = self.compared(taps)
        for index, tap in enumerate(taps):
            taps[index] = unit(tap)  # one by one, so that each tap is held once
        return Query(taps, compared)

    def taps(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Every tap as it comes, of images that are at least 32 pixels high and wide or made so."""
        height, width = (max(side, SMALLEST_SIDE) for side in images.shape[-2:])
        images = images.contiguous(memory_format=torch.channels_last)
        return self.backbone(resize(images, (height, width), align_corners=True))

    def relate(
        self, query: list[Float[Tensor, "b _c _hq _wq"]], support: list[Float[Tensor, "b _c _hs _ws"]]
    ) -> Float[Tensor, "b c hq wq"]:
        """What the support says about every query position of stride 8 (sections 4.1 and 4.3)."""
        levels = [self.level(query, support, stride) for stride in STRIDES]
        return self.squeeze_and_mix(*levels)

    def level(
        self, query: list[Float[Tensor, "b _c _hq _wq"]], support: list[Float[Tensor, "b _c _hs _ws"]], stride: int
    ) -> Float[Tensor, "b t hq wq hs ws"]:
        """The hypercorrelation of the taps of one stride."""
        return correlate(self.of_stride(query, stride), self.of_stride(support, stride))

    def squeeze_and_mix(
        self,
        level8: Float[Tensor, "b t8 h8 w8 hs8 ws8"],
        level16: Float[Tensor, "b t16 h16 w16 hs16 ws16"],
        level32: Float[Tensor, "b t32 h32 w32 hs32 ws32"],
    ) -> Float[Tensor, "b c h8 w8"]:
        """The pyramid squeezed along the support plane, from the deepest level to the shallowest (section 4.3)."""
        squeezed8, squeezed16 = self.squeeze8(level8), self.squeeze16(level16)
        mixed = self.mix32to16(resize4d(self.squeeze32(level32), squeezed16.shape[2:]) + squeezed16)
        mixed = self.mix16to8(resize4d(mixed, squeezed8.shape[2:]) + squeezed8)
        return reduce(mixed, "b c hq wq hs ws -> b c hq wq", "mean")

    def of_stride(self, taps: list[Tensor], stride: int) -> list[Tensor]:
        return [tap for tap, where in zip(taps, self.backbone.taps, strict=True) if where.stride == stride]

    def decode_shots(
        self,
        encoded: Float[Tensor, "b s c h w"] | None,
        size: tuple[int, int],
        likeness: Float[Tensor, "b n hl wl"],
        weights: Float[Tensor, "b s 2"],
    ) -> Float[Tensor, "b t 2 ho wo"]:
        """`decode`, of each shot; where prototypes join in, of their mean (`HSNetConfig`), weighted as they are.

        Args:
            encoded: of no use where the shots are not `decoded`, and None there.
            likeness: from `likewise.ops.prototypes.likeness`; of no use without `prototype_taps`.
        """
        if not self.config.prototype_taps:
            assert encoded is not None
            return torch.stack([self.decode(shot, size) for shot in encoded.unbind(dim=1)], dim=1)
        shots = weights.shape[1]
        logits = SCALE * self.trust * resize(likeness[:, -2:], size, align_corners=False)
        logits = logits - logits.new_tensor([0.0, CAUTION * (1 - 1 / shots)])[:, None, None]
        if encoded is not None:
            together = (weights[..., 1, None, None, None].to(encoded.dtype) * encoded).sum(dim=1)
            logits = logits + self.decode(together, size, likeness) / shots**2
        return logits[:, None]

    def decode(
        self,
        encoded: Float[Tensor, "b c h w"],
        size: tuple[int, int],
        likeness: Float[Tensor, "b n hl wl"] | None = None,
    ) -> Float[Tensor, "b 2 ho wo"]:
        """Logits at the wanted size (height, width), by way of twice the encoded one (section 4.4).

        Args:
            likeness: as in `decode_shots`; None without `prototype_taps`.
        """
        if likeness is not None:
            alike = JOINED_SCALE * resize(likeness, plane_size(encoded), align_corners=False)
            encoded = torch.cat([encoded, alike], dim=1)
        return self.classify(self.decoder(encoded), size)

    def classify(self, context: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b 2 ho wo"]:
        height, width = plane_size(context)
        logits = self.classifier(resize(context, (2 * height, 2 * width), align_corners=True))
        # Two channels: quicker when they lie first, and in single precision quicker than in half.
        return resize(logits.float().contiguous(), size, align_corners=True)

    def loss(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
        query_labels: Int[Tensor, "b hq wq"],
    ) -> Losses:
        """Over all query pixels and shots.

        Args:
            query_labels: 1 for the class; everything else, void (255) too, counts as background in the cross-entropy,
                as published.
        """
        logits = self(support_images, foreground, query_images)
        target = query_labels == 1
        targets = target[:, None].expand(-1, logits.shape[1], -1, -1)
        probability = logits.float().softmax(dim=2)[:, :, 1] * (query_labels != IGNORE)[:, None]
        together = "b s h w -> 1 1 (b s h) w"
        return Losses(
            F.cross_entropy(logits.flatten(0, 1), targets.long().flatten(0, 1)),
            soft_iou_loss(rearrange(probability, together), rearrange(targets, together)[0].float()),
        )


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
    """The published program's entries under our names, with or without `module.` before them.

    The backbone's classifier, which is never used, is left out.

    Raises:
        ValueError: an entry that the published program does not have.
    """
    found = {}
    for published, value in state.items():
        if published.removeprefix("module.").startswith(("backbone.fc.", "backbone.classifier.")):
            continue
        name = renamed(published, PUBLISHED_NAMES, "HSNet")
        if not name.startswith("backbone."):
            name = name.replace(".conv1.", ".query.").replace(".conv2.", ".support.")
        found[name] = value
    return found


def vgg16(config: HSNetConfig | None = None) -> HSNet:
    """The published program on VGG-16: the convolutions of its last two blocks and the last pool."""
    taps = [f"features.{index}" for index in (18, 20, 22, 25, 27, 29, 30)]
    return HSNet(Backbone(BACKBONES["vgg16"].with_taps(*taps)), config)


def resnet(depth: int, config: HSNetConfig | None = None) -> HSNet:
    """The published program on ResNet (`depth` 50 or 101): every bottleneck of layers 2, 3 and 4."""
    spec = BACKBONES[f"resnet{depth}"]
    return HSNet(Backbone(spec.with_taps(*(tap.module for tap in spec.taps if tap.stride in STRIDES))), config)


def lite0(config: HSNetConfig | None = None) -> HSNet:
    """Ours, on the bundled backbone: every block of stages 2 to 6 (2, 6 and 5 channels)."""
    spec = BACKBONES["lite0"]
    return HSNet(Backbone(spec.with_taps(*(tap.module for tap in spec.taps if tap.stride in STRIDES))), config)
