"""PANet: few-shot segmentation by class prototypes and prototype alignment.

Wang, Liew, Zou, Zhou, Feng, "PANet: Few-Shot Image Semantic Segmentation with Prototype Alignment", ICCV 2019.

    support images --> backbone --> pool under the masks --> prototypes --+
                                                                          +--> cosine x scale --> resize --> softmax
    query images ----> backbone ------------------------------------------+

Published variants: `vgg16` is the published program's, `resnet(50)` and `resnet(101)` are those of a later one, each
with its own conventions (`PANetConfig`). Any other backbone is ours. An empty support mask has a zero prototype, as in
the published program.
"""

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
from likewise.errors import WeightsError
from likewise.io.labels import IGNORE
from likewise.ops.features import concat_levels, cosine_similarity, masked_average_pool, plane_size, resize


@dataclass(frozen=True)
class PANetConfig:
    """Conventions in which the published programs differ.

    Attributes:
        scale: factor of the cosine (alpha in equation 2).
        pool_at: pool support features at the size of the "mask" (features are resized up) or of the "features" (masks
            are resized down, so they are not binary).
        align_corners: convention of every resize.
        align_with: query masks that form the prototypes of the alignment loss: the model's own "prediction" (section
            3.3) or the "truth".
    """

    scale: float = 20.0
    pool_at: str = "mask"
    align_corners: bool = False
    align_with: str = "prediction"


class Losses(NamedTuple):
    """Cross-entropy of the query, and prototype alignment regularisation; training minimises their sum."""

    query: Float[Tensor, ""]
    align: Float[Tensor, ""]


class PANet(nn.Module):
    """Logits of the query for the background and each way of an episode; the backbone's taps are concatenated."""

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
        """Return logits at the size of the query: background first, then the `k` ways in order.

        Images are normalised for the backbone. Masks are in [0, 1]: `foreground` marks the support pixels of their way,
        `background` those of none of the episode's ways; a pixel may be in neither.
        """
        support = self.features(rearrange(support_images, "b k s c h w -> (b k s) c h w"))
        query = self.features(rearrange(query_images, "b q c h w -> (b q) c h w"))
        prototypes = self.prototypes(support, foreground, background)
        logits = self.relate(query, prototypes)
        logits = self.decode(logits, plane_size(query_images))
        return rearrange(logits, "(b q) k h w -> b q k h w", b=query_images.shape[0])

    def features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hf wf"]:
        """Return the taps' feature maps, concatenated at the size of the shallowest."""
        return concat_levels(self.backbone(images), align_corners=self.config.align_corners)

    def pool(self, features: Float[Tensor, "b c hf wf"], mask: Float[Tensor, "b h w"]) -> Float[Tensor, "b c"]:
        """Return the mean feature under each mask, pooled at the mask's size or the features' (equation 1)."""
        if self.config.pool_at == "features":
            mask = resize(mask[:, None], plane_size(features), align_corners=self.config.align_corners)[:, 0]
        return masked_average_pool(features, mask, align_corners=self.config.align_corners)

    def prototypes(
        self,
        support: Float[Tensor, "bks c hf wf"],
        foreground: Float[Tensor, "b k s h w"],
        background: Float[Tensor, "b k s h w"],
    ) -> Float[Tensor, "b k+1 c"]:
        """Return the background's prototype, averaged over ways and shots, then one for each way (section 3.2)."""
        b, k, s = foreground.shape[:3]
        of_foreground = self.pool(support, rearrange(foreground, "b k s h w -> (b k s) h w"))
        of_background = self.pool(support, rearrange(background, "b k s h w -> (b k s) h w"))
        ways = reduce(of_foreground, "(b k s) c -> b k c", "mean", b=b, k=k, s=s)
        shared = reduce(of_background, "(b k s) c -> b 1 c", "mean", b=b, k=k, s=s)
        return torch.cat([shared, ways], dim=1)

    def relate(
        self, query: Float[Tensor, "bq c hf wf"], prototypes: Float[Tensor, "b k c"]
    ) -> Float[Tensor, "bq k hf wf"]:
        """Return the scaled cosine of every query position with every prototype of its episode (equation 2)."""
        prototypes = prototypes.repeat_interleave(len(query) // len(prototypes), dim=0)
        return self.config.scale * cosine_similarity(query, prototypes)

    def decode(self, logits: Float[Tensor, "b k hf wf"], size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
        """Return the logits at `size` (height, width); their softmax is the probability."""
        return resize(logits, size, align_corners=self.config.align_corners)

    def loss(
        self,
        support_images: Float[Tensor, "b k s 3 h w"],
        foreground: Float[Tensor, "b k s h w"],
        background: Float[Tensor, "b k s h w"],
        query_images: Float[Tensor, "b q 3 hq wq"],
        query_labels: Int[Tensor, "b q hq wq"],
    ) -> Losses:
        """Return the query's cross-entropy and the alignment regularisation (section 3.3, equations 5, 6).

        Labels are 0 for background, `1..k` for the ways, 255 for void. The backbone sees one shot of all episodes at a
        time, then all queries. Where its batch norm is trained, these are the batches of the published ResNet program.
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
        """Return the alignment loss: the supports segmented by prototypes of the queries (equation 5).

        With `align_with="prediction"`, a way that wins no query position is left out of the sum but counted in the
        divisor. Support pixels in both masks count as background; pixels in neither are ignored.
        """
        b, k = foreground.shape[:2]
        prototypes, found = self.query_prototypes(query, coarse, labels, episodes=b)
        logits = self.decode(self.relate_back(support, prototypes), plane_size(foreground))
        target = torch.full_like(foreground, IGNORE, dtype=torch.long)
        target[foreground == 1] = 1
        target[background == 1] = 0
        target = rearrange(target, "b k s h w -> (b k s) h w")
        entropy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none").sum(dim=(1, 2))
        entropy = entropy / (target != IGNORE).sum(dim=(1, 2)).clamp_min(1)
        return (rearrange(entropy, "(b k s) -> b k s", b=b, k=k) * found[..., None]).mean()

    def query_prototypes(
        self,
        query: Float[Tensor, "bq c hq wq"],
        coarse: Float[Tensor, "bq classes hq wq"],
        labels: Int[Tensor, "bq hl wl"],
        *,
        episodes: int,
    ) -> tuple[Float[Tensor, "b classes c"], Float[Tensor, "b classes-1"]]:
        """Return prototypes over all queries of an episode, and 1 for each way that has any query position, else 0."""
        classes = coarse.shape[1]
        if self.config.align_with == "truth":
            void_last = labels.where(labels != IGNORE, classes)
            masks = F.one_hot(void_last, classes + 1)[..., :-1].movedim(-1, 1).to(query.dtype)
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
        """Return the scaled cosine of each support with the prototypes of the background and of its own way."""
        ways = prototypes[:, 1:]
        pairs = torch.stack([prototypes[:, :1].expand_as(ways), ways], dim=2)
        return self.relate(support, rearrange(pairs, "b k two c -> (b k) two c"))


def from_vgg16_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the published program's entries, `encoder.backbone.features.<block>.<layer>`, under our names."""
    starts = {"0": 0, "2": 5, "4": 10, "6": 17, "8": 24}
    renamed = {}
    for name, value in state.items():
        match = re.fullmatch(r"encoder\.backbone\.features\.([02468])\.([024])\.(weight|bias)", name)
        if match is None:
            raise WeightsError(f"{name!r} is not an entry of PANet's VGG-16 checkpoint")
        block, layer, kind = match.groups()
        renamed[f"backbone.net.features.{starts[block] + int(layer)}.{kind}"] = value
    return renamed


def from_resnet_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the ResNet variant's entries under our names: `layer0.0` is the stem, `layer0.1` its last norm."""
    renamed = {}
    for name, value in state.items():
        for theirs, ours in (("layer0.0.", "conv1."), ("layer0.1.", "bn1."), ("layer", "layer")):
            if name.startswith(theirs):
                renamed["backbone.net." + ours + name.removeprefix(theirs)] = value
                break
        else:
            raise WeightsError(f"{name!r} is not an entry of PANet's ResNet checkpoint")
    return renamed


def vgg16() -> PANet:
    """The published variant on VGG-16 of stride 8: features resized up to the mask, scale 20."""
    return PANet(Backbone(BACKBONES["vgg16-dilated"].with_taps("features.29"), frozen=False))


def resnet(depth: int) -> PANet:
    """The published variant on ResNet (`depth` 50 or 101): one way, masks resized down, scale 10.

    The stem and layer1 are frozen. The alignment loss uses the query's true mask.
    """
    last = {50: "layer3.5.act3", 101: "layer3.22.act3"}[depth]
    backbone = Backbone(BACKBONES[f"resnet{depth}-deep"].with_taps(last), frozen=False)
    for part in ("conv1", "bn1", "layer1"):
        backbone.net.get_submodule(part).requires_grad_(False)
    config = PANetConfig(scale=10.0, pool_at="features", align_corners=True, align_with="truth")
    return PANet(backbone, config)
