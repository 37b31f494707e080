"""PrototypeHSNet: prototypes adapted to the query, corrected by a hypercorrelation decoder. Ours; the shipped default.

    support features --> prototypes (merged, whitened) --+
                                                         +--> cosine maps --+--> x scale ---------------- add --> logits
    query features --------------------------------------+                  |                              ^
                                                                            +--> concat --> decode / K^2 --+
    support and query taps --> correlate --> squeeze and mix --> mean of K shots --^

Not a published network. It joins three methods:

- the prototypes of PANet (Wang et al., ICCV 2019), merged over shots by object area and whitened
  (`likewise.ops.prototypes`);
- self-support (Fan et al., ECCV 2022): the query's confident positions form prototypes too;
- the encoder of HSNet (Min et al., ICCV 2021), whose decoder also reads the cosine maps and corrects their logits.

All shots of a class give one pair of logits. The decoder's correction is divided by the square of the number of shots,
and **above five shots it is left out: the hypercorrelation encoder and the decoder do not run, and the prototypes alone
give the logits**.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.models.blocks.hypercorrelation import (
    STRIDES,
    HypercorrelationEncoder,
    Losses,
    classifier,
    classify,
    decoder,
    few_shot_losses,
)
from likewise.ops.features import concat_levels, plane_size, resize
from likewise.ops.hypercorrelation.correlation import masked_unit_features, unit
from likewise.ops.prototypes import (
    COSINE_SCALE,
    Prototypes,
    SupportStatistics,
    cosine_maps,
    merge_shots,
    support_statistics,
)
from likewise.ops.shots import area_weights


@dataclass(frozen=True)
class PrototypeHSNetConfig:
    """Settings; the defaults below `self_support` are the constants of the shipped weights.

    Attributes:
        channels: of the three layers of each squeeze block; the mix blocks and the decoder have the last number.
        prototype_taps: backbone modules whose features form prototypes, concatenated.
        self_support: adapt the prototypes to the query. The decoder reads the cosine maps of both kinds of prototypes;
            the logits are made of the adapted ones.
        cosine_scale: factor that turns cosines into logits (alpha of PANet's equation 2).
        concat_scale: factor of the cosine maps before they are concatenated to the encoder's features, which it
            matches in magnitude.
        foreground_bias: foreground-logit bias for K shots: `-foreground_bias * (1 - 1 / K)`. A mean of prototypes is
            closer to all features than a single one, and more so the foreground's (experiments/05-whitening).
        max_decoded_shots: the largest number of shots for which the encoder and the decoder run; for more, the
            correction would be divided by 36 or more.
    """

    channels: tuple[int, int, int] = (16, 32, 64)
    prototype_taps: tuple[str, ...] = ("blocks.4.2", "blocks.5.3")
    self_support: bool = True
    cosine_scale: float = COSINE_SCALE
    concat_scale: float = 4.0
    foreground_bias: float = 0.25
    max_decoded_shots: int = 5


class PrototypeHSNet(HypercorrelationEncoder):
    """One pair of background and foreground logits for all shots of an episode.

    Args:
        backbone: its taps have strides 8, 16 and 32, at least one tap of each.
        config: the settings.
    """

    def __init__(self, backbone: Backbone, config: PrototypeHSNetConfig | None = None) -> None:
        config = config or PrototypeHSNetConfig()
        super().__init__(backbone, kernel="center-pivot", channels=config.channels)
        self.config = config
        backbone.spec.with_taps(*config.prototype_taps)  # raises for an unknown tap
        if not config.prototype_taps:
            raise ModelError("PrototypeHSNet needs at least one prototype tap; without prototypes use HSNet")
        width, maps = config.channels[-1], 4 if config.self_support else 2
        self.decoder = decoder(width + maps, width)
        self.classifier = classifier(width)
        self.cosine_gain = nn.Parameter(torch.ones(()))
        last: nn.Conv2d = self.classifier[-1]  # type: ignore[assignment]
        nn.init.normal_(last.weight, std=1e-3)  # training starts from the prototypes' logits
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
    ) -> Float[Tensor, "b 1 2 hq wq"]:
        """Return background and foreground logits at the size of the query, one pair for all shots.

        Args:
            support_images: `s` shots for each of `b` episodes, normalised for the backbone.
            foreground: 1 where a support pixel belongs to the class, in [0, 1].
            query_images: normalised for the backbone.
        """
        shots, mask = foreground.shape[1], foreground.flatten(0, 1)
        support, query = self.taps(support_images.flatten(0, 1)), self.taps(query_images)
        masked = self.support_features(support, mask)
        prototypes = self.merge(self.statistics(support, mask, 1 - mask), self.areas(masked), shots)
        cosines = self.cosines(self.prototype_features(query), prototypes)
        encoded = None
        if self.decodes(shots):
            encoded = self.relate([unit(tap).repeat_interleave(shots, dim=0) for tap in query], masked)
            encoded = rearrange(encoded, "(b s) c h w -> b s c h w", s=shots)
        return self.decode(encoded, cosines, prototypes, plane_size(query_images))

    def decodes(self, shots: int) -> bool:
        """Whether the encoder and the decoder run for this number of shots."""
        return shots <= self.config.max_decoded_shots

    def support_features(
        self, taps: list[Float[Tensor, "b _c _h _w"]], foreground: Float[Tensor, "b h w"]
    ) -> list[Float[Tensor, "b _c _h _w"]]:
        """Return the unit features of every tap, zero outside the mask (HSNet, equation 1).

        A mask that vanishes at a level is replaced by that of the finest level that holds it.
        """
        return masked_unit_features(taps, self.strides, foreground, rescue=True)

    def areas(self, masked: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, " b"]:
        """Return the share of foreground positions of each shot at stride 8; at least one position."""
        positions = torch.stack([tap.any(dim=1) for tap in self.of_stride(masked, STRIDES[0])]).any(dim=0).flatten(1)
        return positions.sum(dim=1).clamp_min(1) / positions.shape[1]

    def prototype_features(self, taps: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b c h w"]:
        """Return the taps that form prototypes, concatenated at the size of the shallowest of them."""
        modules = [tap.module for tap in self.backbone.taps]
        chosen = [tap for tap, module in zip(taps, modules, strict=True) if module in self.config.prototype_taps]
        return concat_levels(chosen, align_corners=False)

    def statistics(
        self,
        taps: list[Float[Tensor, "b _c _h _w"]],
        foreground: Float[Tensor, "b h w"],
        background: Float[Tensor, "b h w"],
    ) -> SupportStatistics:
        """Return what the prototypes of each shot are made of."""
        return support_statistics(self.prototype_features(taps), background, foreground)

    def merge(self, statistics: SupportStatistics, areas: Float[Tensor, " bs"], shots: int) -> Prototypes:
        """Return the prototypes of each class, its shots weighted by their object's area."""
        grouped = SupportStatistics(*(part.unflatten(0, (-1, shots)) for part in statistics))
        return merge_shots(grouped, area_weights(areas.unflatten(0, (-1, shots))))

    def cosines(self, features: Float[Tensor, "b c h w"], prototypes: Prototypes) -> Float[Tensor, "b n h w"]:
        """Return two cosine maps, or four with self-support."""
        return cosine_maps(features, prototypes, self_support=self.config.self_support, scale=self.config.cosine_scale)

    def decode(
        self,
        encoded: Float[Tensor, "b s c h w"] | None,
        cosines: Float[Tensor, "b n hf wf"],
        prototypes: Prototypes,
        size: tuple[int, int],
    ) -> Float[Tensor, "b 1 2 ho wo"]:
        """Return logits at `size` (height, width): those of the prototypes plus the decoder's correction.

        Args:
            encoded: the encoded query given each shot; None leaves the correction out.
            cosines: from `cosines`.
            prototypes: the merged shots.
        """
        shots = prototypes.shots
        logits = self.config.cosine_scale * self.cosine_gain * resize(cosines[:, -2:], size, align_corners=False)
        logits = logits - logits.new_tensor([0.0, self.config.foreground_bias * (1 - 1 / shots)])[:, None, None]
        if encoded is not None:
            weights = prototypes.weights[..., 1, None, None, None].to(encoded.dtype)
            logits = logits + self.correction((weights * encoded).sum(dim=1), cosines, size) / shots**2
        return logits[:, None]

    def correction(
        self, encoded: Float[Tensor, "b c h w"], cosines: Float[Tensor, "b n hf wf"], size: tuple[int, int]
    ) -> Float[Tensor, "b 2 ho wo"]:
        """Return the decoder's logits (HSNet, section 4.4), from the encoder's features and the cosine maps."""
        maps = self.config.concat_scale * resize(cosines, plane_size(encoded), align_corners=False)
        return classify(self.classifier, self.decoder(torch.cat([encoded, maps], dim=1)), size)

    def loss(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
        query_labels: Int[Tensor, "b hq wq"],
    ) -> Losses:
        """Return the losses of `forward`'s logits (`few_shot_losses`)."""
        return few_shot_losses(self(support_images, foreground, query_images), query_labels)


def from_run(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a training run's entries under this file's names; the bundled weights call `cosine_gain` "trust"."""
    return {"cosine_gain" if name == "trust" else name: value for name, value in state.items()}


def lite0(config: PrototypeHSNetConfig | None = None) -> PrototypeHSNet:
    """The shipped variant, on the bundled backbone: every block of stages 2 to 6, with 2, 6 and 5 taps."""
    spec = BACKBONES["lite0"]
    taps = (tap.module for tap in spec.taps if tap.stride in STRIDES)
    return PrototypeHSNet(Backbone(spec.with_taps(*taps)), config)
