"""Self-support prototypes with whitening: few-shot segmentation in closed form, on any trained backbone.

Fan, Pei, Tai, Tang, "Self-Support Few-Shot Semantic Segmentation", ECCV 2022 (self-support prototypes).
Bateni, Goyal, Masrani, Wood, Sigal, "Improved Few-Shot Visual Classification", CVPR 2020 (whitened distances).

    support images --> backbone --> pool under the masks --> prototypes, merged and whitened --+
                                                                                               +--> cosine maps --+
    query images ----> backbone ----------------------------> self-support prototypes ---------+                  |
                                                                                                                  v
                                                        logits <-- resize <-- foreground margin <-- x scale ------+

Nothing but the backbone has weights: those of a trained `PANet` load without renaming. We differ from Fan et al. in
five things. Features are pooled as in PANet. Shots are weighted by object area. Prototypes and query are whitened from
two shots on. The weight of the query's prototypes depends on the scene (`likewise.ops.prototypes`); their adaptive
background prototypes are left out. The foreground logit has a margin that grows for small objects, because a mean over
few pixels is closer to all features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likewise.backbones.taps import Backbone
from likewise.ops.features import concat_levels, plane_size, resize
from likewise.ops.prototypes import (
    COSINE_SCALE,
    Prototypes,
    SupportStatistics,
    cosine_maps,
    merge_shots,
    support_statistics,
)
from likewise.ops.shots import area_weights

AREA_STRIDE = 8
"""Object areas are counted in positions of this stride, in pixels."""


@dataclass(frozen=True)
class SelfSupportConfig:
    """Settings.

    Attributes:
        self_support: adapt the prototypes to the query.
        cosine_scale: factor that turns cosines into logits (alpha of PANet's equation 2).
        area_margin: foreground-logit margin for K shots: `-area_margin / sqrt(K) * mean(log((1 - area) / area))`
            (experiments/01-ablation).
    """

    self_support: bool = True
    cosine_scale: float = COSINE_SCALE
    area_margin: float = 0.35


class EncodedShots(NamedTuple):
    """What prototypes are made of; leading axes are shots, or classes and shots.

    Attributes:
        statistics: of the features under both masks.
        areas: share of the positions that the object covers, in (0, 1].
    """

    statistics: SupportStatistics
    areas: Float[Tensor, "*b"]


class SelfSupport(nn.Module):
    """One pair of background and foreground logits for all shots of an episode.

    Args:
        backbone: its taps form the prototypes, concatenated.
        config: the settings.
    """

    def __init__(self, backbone: Backbone, config: SelfSupportConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config or SelfSupportConfig()

    def forward(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
    ) -> Float[Tensor, "b 2 hq wq"]:
        """Return background and foreground logits at the size of the query.

        Args:
            support_images: `s` shots for each of `b` episodes, normalised for the backbone.
            foreground: 1 where a support pixel belongs to the class, in [0, 1].
            query_images: normalised for the backbone.
        """
        mask = foreground.flatten(0, 1)
        statistics, areas = self.encode_support(support_images.flatten(0, 1), mask, 1 - mask)
        shots = foreground.shape[1]
        grouped = SupportStatistics(*(part.unflatten(0, (-1, shots)) for part in statistics))
        areas = areas.unflatten(0, (-1, shots))
        cosines = self.relate(self.features(query_images), merge_shots(grouped, area_weights(areas)))
        return self.decode(cosines, areas, plane_size(query_images))

    def features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hf wf"]:
        """Return the taps' feature maps, concatenated at the size of the shallowest."""
        return concat_levels(self.backbone(images), align_corners=False)

    def encode_support(
        self,
        images: Float[Tensor, "b 3 h w"],
        foreground: Float[Tensor, "b h w"],
        background: Float[Tensor, "b h w"],
    ) -> EncodedShots:
        """Return what the prototypes of each shot are made of.

        Args:
            background: 1 where a pixel is known not to belong to the class.
        """
        plane = max(1, foreground.shape[1] // AREA_STRIDE), max(1, foreground.shape[2] // AREA_STRIDE)
        covered = (resize(foreground[:, None], plane, align_corners=True) > 0).flatten(1)
        areas = covered.sum(dim=1).clamp_min(1) / covered.shape[1]
        return EncodedShots(support_statistics(self.features(images), background, foreground), areas)

    def relate(self, query: Float[Tensor, "b c hf wf"], prototypes: Prototypes) -> Float[Tensor, "b n hf wf"]:
        """Return the cosine maps of background and foreground; the last two are those of the logits."""
        return cosine_maps(query, prototypes, self_support=self.config.self_support, scale=self.config.cosine_scale)

    def decode(
        self, cosines: Float[Tensor, "b n hf wf"], areas: Float[Tensor, "b s"], size: tuple[int, int]
    ) -> Float[Tensor, "b 2 h w"]:
        """Return logits at `size` (height, width): scaled cosines, the foreground lowered by the area's margin."""
        logits = self.config.cosine_scale * resize(cosines[:, -2:], size, align_corners=False)
        factor = self.config.area_margin / areas.shape[1] ** 0.5
        margin = factor * torch.logit(areas.float(), eps=1e-4).neg().mean(dim=1)
        sides = torch.stack([torch.zeros_like(margin), margin], dim=1).to(logits.dtype)
        return logits - sides[:, :, None, None]
