"""PANet: few-shot segmentation by class prototypes and prototype alignment.

Wang, Liew, Zou, Zhou, Feng, "PANet: Few-Shot Image Semantic Segmentation with Prototype Alignment", ICCV 2019.

    support images --> backbone --> pool under the masks --> prototypes --+
                                                                          +--> cosine x scale --> resize --> softmax
    query images ----> backbone ------------------------------------------+

Three variants. `vgg16` is the published program's, `resnet50` and `resnet101` a published later one, each with its
own conventions (`PANetConfig`); `lite0`, or any other backbone, is ours.
We differ in one thing: an empty support mask is refused at the door of the product (`predict/`); the model itself
gives it a zero prototype, as the published program does.
"""

from __future__ import annotations

import re
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
from likewise.ops.features import (
    concat_levels,
    cosine_similarity,
    masked_average_pool,
    plane_size,
    resize,
)


@dataclass(frozen=True)
class PANetConfig:
    """The conventions in which the published programs differ.

    Attributes:
        scale: the factor of the cosine (alpha in equation 2).
        pool_at: support features are pooled at the size of the `mask` (features resized up) or at the size of the
            `features` (masks resized down, so no longer binary).
        align_corners: of every resize.
        align_with: the query masks that make the prototypes of the alignment loss: the model's own `prediction`
            (the paper's section 3.3) or the `truth`.
    """

    scale: float = 20.0
    pool_at: str = "mask"
    align_corners: bool = False
    align_with: str = "prediction"


class Losses(NamedTuple):
    """What training minimises: `query + align`."""

    query: Float[Tensor, ""]
    align: Float[Tensor, ""]


class PANet(nn.Module):
    """Logits of the query pixels, for the background and each way of an episode.

    Args:
        backbone: gives the features: all its taps, side by side.
        config: the conventions.
    """

    def __init__(self, backbone: Backbone, config: PANetConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config or PANetConfig()

    def forward(
        self,
        support_images: Float[Tensor, "b k s 3 h w"],
        foreground: Float[Tensor, "b k s h w"],
        background: Float[Tensor, "b k s h w"],
        query_images: Float[Tensor, "b q 3 hq wq"],
    ) -> Float[Tensor, "b q k+1 hq wq"]:
        """Logits at the size of the query: background first, then the `k` ways in order.

        Args:
            support_images: for each of `b` episodes and `k` ways, `s` shots, normalised for the backbone.
            foreground: 1 where a support pixel belongs to its way, in [0, 1].
            background: 1 where it belongs to none of the episode's ways. A pixel may be in neither.
            query_images: normalised as the support is.
        """
        support = self.features(rearrange(support_images, "b k s c h w -> (b k s) c h w"))
        query = self.features(rearrange(query_images, "b q c h w -> (b q) c h w"))
        prototypes = self.prototypes(support, foreground, background)
        logits = self.relate(query, prototypes)
        logits = self.decode(logits, plane_size(query_images))
        return rearrange(logits, "(b q) k h w -> b q k h w", b=query_images.shape[0])

    def features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hf wf"]:
        """The taps' feature maps side by side, at the size of the shallowest."""
        return concat_levels(self.backbone(images), align_corners=self.config.align_corners)

    def pool(self, features: Float[Tensor, "b c hf wf"], mask: Float[Tensor, "b h w"]) -> Float[Tensor, "b c"]:
        """Masked average pooling, at the mask's size or the features' as configured (equation 1)."""
        if self.config.pool_at == "features":
            mask = resize(mask[:, None], plane_size(features), align_corners=self.config.align_corners)[:, 0]
        return masked_average_pool(features, mask, align_corners=self.config.align_corners)

    def prototypes(
        self,
        support: Float[Tensor, "bks c hf wf"],
        foreground: Float[Tensor, "b k s h w"],
        background: Float[Tensor, "b k s h w"],
    ) -> Float[Tensor, "b k+1 c"]:
        """One prototype for the background, averaged over ways and shots, and one for each way (section 3.2)."""
        b, k, s = foreground.shape[:3]
        fore = self.pool(support, rearrange(foreground, "b k s h w -> (b k s) h w"))
        back = self.pool(support, rearrange(background, "b k s h w -> (b k s) h w"))
        ways = reduce(fore, "(b k s) c -> b k c", "mean", b=b, k=k, s=s)
        rest = reduce(back, "(b k s) c -> b 1 c", "mean", b=b, k=k, s=s)
        return torch.cat([rest, ways], dim=1)

    def relate(
        self, query: Float[Tensor, "bq c hf wf"], prototypes: Float[Tensor, "b k c"]
    ) -> Float[Tensor, "bq k hf wf"]:
        """Scaled cosine between every query position and every prototype of its episode (equation 2)."""
        prototypes = prototypes.repeat_interleave(len(query) // len(prototypes), dim=0)
        return self.config.scale * cosine_similarity(query, prototypes)

    def decode(self, logits: Float[Tensor, "b k hf wf"], size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
        """The logits at the wanted size; their softmax is the probability."""
        return resize(logits, size, align_corners=self.config.align_corners)

    def loss(
        self,
        support_images: Float[Tensor, "b k s 3 h w"],
        foreground: Float[Tensor, "b k s h w"],
        background: Float[Tensor, "b k s h w"],
        query_images: Float[Tensor, "b q 3 hq wq"],
        query_labels: Int[Tensor, "b q hq wq"],
    ) -> Losses:
        """Cross-entropy of the query and the prototype alignment regularisation (section 3.3, equations 5 and 6).

        Args:
            query_labels: 0 for background, `1..k` for the ways, 255 for pixels that do not count.

        Supports and queries go through the backbone one shot at a time, each shot of all episodes together: in a
        backbone that trains its batch norm this is what the published ResNet program averages over.
        """
        shots = [self.features(rearrange(shot, "b k c h w -> (b k) c h w")) for shot in support_images.unbind(dim=2)]
        support = rearrange(torch.stack(shots, dim=1), "bk s c h w -> (bk s) c h w")
        query = self.features(rearrange(query_images, "b q c h w -> (b q) c h w"))
        coarse = self.relate(query, self.prototypes(support, foreground, background))
        logits = self.decode(coarse, plane_size(query_images))
        labels = rearrange(query_labels, "b q h w -> (b q) h w").long()
        return Losses(
            F.cross_entropy(logits, labels, ignore_index=IGNORE),
            self.align(support, foreground, background, query, coarse, labels),
        )

    def align(
        self,
        support: Float[Tensor, "bks c hf wf"],
        foreground: Float[Tensor, "b k s h w"],
        background: Float[Tensor, "b k s h w"],
        query: Float[Tensor, "bq c hq wq"],
        coarse: Float[Tensor, "bq classes hq wq"],
        labels: Int[Tensor, "bq hl wl"],
    ) -> Float[Tensor, ""]:
        """The alignment loss: the queries, as segmented, must segment the supports (equation 5).

        With `align_with="prediction"` a way that wins no query position is left out of the sum, while the divisor
        goes on counting it. Target pixels in both masks count as background, pixels in neither are ignored.
        """
        b, k = foreground.shape[:2]
        prototypes, learned = self.query_prototypes(query, coarse, labels, episodes=b)
        logits = self.decode(self.relate_back(support, prototypes), plane_size(foreground))
        target = torch.full_like(foreground, IGNORE, dtype=torch.long)
        target[foreground == 1] = 1
        target[background == 1] = 0
        target = rearrange(target, "b k s h w -> (b k s) h w")
        entropy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none").sum(dim=(1, 2))
        entropy = entropy / (target != IGNORE).sum(dim=(1, 2)).clamp_min(1)
        return (rearrange(entropy, "(b k s) -> b k s", b=b, k=k) * learned[..., None]).mean()

    def query_prototypes(
        self,
        query: Float[Tensor, "bq c hq wq"],
        coarse: Float[Tensor, "bq classes hq wq"],
        labels: Int[Tensor, "bq hl wl"],
        *,
        episodes: int,
    ) -> tuple[Float[Tensor, "b classes c"], Float[Tensor, "b classes-1"]]:
        """Prototypes of the queries, all of an episode together, and 1 for each way that has any position."""
        classes = coarse.shape[1]
        if self.config.align_with == "truth":
            kept = labels.where(labels != IGNORE, classes)
            masks = F.one_hot(kept, classes + 1)[..., :-1].movedim(-1, 1).to(query.dtype)
            pooled = torch.stack([self.pool(query, mask) for mask in masks.unbind(dim=1)], dim=1)
            prototypes = reduce(pooled, "(b q) k c -> b k c", "mean", b=episodes)
            return prototypes, torch.ones_like(prototypes[:, 1:, 0])
        winners = F.one_hot(coarse.argmax(dim=1), classes).movedim(-1, 1).to(query.dtype)
        winners = rearrange(winners, "(b q) k h w -> b k (q h w)", b=episodes)
        total = winners @ rearrange(query, "(b q) c h w -> b (q h w) c", b=episodes)
        count = winners.sum(dim=2)
        return total / (count[..., None] + 1e-5), (count[:, 1:] > 0).to(query.dtype)

    def relate_back(
        self, support: Float[Tensor, "bks c hf wf"], prototypes: Float[Tensor, "b classes c"]
    ) -> Float[Tensor, "bks 2 hf wf"]:
        """Each support against the background and its own way."""
        ways = prototypes[:, 1:]
        pairs = torch.stack([prototypes[:, :1].expand_as(ways), ways], dim=2)
        return self.relate(support, rearrange(pairs, "b k two c -> (b k) two c"))


def from_vgg16_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published program's entries under our names: `encoder.backbone.features.<block>.<layer>`."""
    starts = {"0": 0, "2": 5, "4": 10, "6": 17, "8": 24}
    renamed = {}
    for name, value in state.items():
        match = re.fullmatch(r"encoder\.backbone\.features\.([02468])\.([024])\.(weight|bias)", name)
        if match is None:
            raise ValueError(f"{name!r} is no entry of PANet's VGG-16 checkpoint")
        block, layer, kind = match.groups()
        renamed[f"backbone.net.features.{starts[block] + int(layer)}.{kind}"] = value
    return renamed


def from_resnet_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published ResNet variant's entries under our names: `layer0.0` is the stem, `layer0.1` its last norm."""
    renamed = {}
    for name, value in state.items():
        for theirs, ours in (("layer0.0.", "conv1."), ("layer0.1.", "bn1."), ("layer", "layer")):
            if name.startswith(theirs):
                renamed["backbone.net." + ours + name.removeprefix(theirs)] = value
                break
        else:
            raise ValueError(f"{name!r} is no entry of PANet's ResNet checkpoint")
    return renamed


def vgg16() -> PANet:
    """The published program: VGG-16 of stride 8, features resized up to the mask, scale 20."""
    return PANet(Backbone(BACKBONES["vgg16-dilated"].with_taps("features.29"), frozen=False))


def resnet(depth: int) -> PANet:
    """The published ResNet variant (`depth` 50 or 101): one way, masks resized down, scale 10.

    The stem and layer1 take no gradient. Its alignment uses the query's true mask.
    """
    last = {50: "layer3.5.act3", 101: "layer3.22.act3"}[depth]
    backbone = Backbone(BACKBONES[f"resnet{depth}-deep"].with_taps(last), frozen=False)
    for part in ("conv1", "bn1", "layer1"):
        backbone.net.get_submodule(part).requires_grad_(False)
    config = PANetConfig(scale=10.0, pool_at="features", align_corners=True, align_with="truth")
    return PANet(backbone, config)
