"""HSNet: few-shot segmentation by squeezing hypercorrelations.

Min, Kang, Cho, "Hypercorrelation Squeeze for Few-Shot Segmentation", ICCV 2021.

    support image --> backbone --> mask --> unit --+
                                                   +--> correlate --> squeeze and mix --> decode --> resize --> softmax
    query image ----> backbone ----------> unit ---+

The backbone's taps are correlated one by one; the taps of one stride are the channels of one level. The levels of
strides 8, 16 and 32 are squeezed along the support plane and mixed from the deepest to the shallowest
(`likewise.models.blocks.hypercorrelation`). Each shot is decoded on its own; `likewise.ops.shots.vote` merges shots
as the paper does.

We differ in four things. Images need not be square, nor of one size. Support planes of unequal size, which rounding
causes, are resized to the finer one. Images with a side below 32 pixels are enlarged to 32. A support mask too small
for a level is replaced by the finest level that holds it (`HSNetConfig.rescue`).

`likewise.models.hsnet_inference` encodes supports once for many queries and computes the same logits faster.
"""

from __future__ import annotations

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.models.blocks.hypercorrelation import (
    STRIDES,
    HypercorrelationEncoder,
    Losses,
    classifier,
    classify,
    decoder,
    few_shot_losses,
)
from likewise.models.blocks.renaming import rename_entry
from likewise.ops.features import plane_size
from likewise.ops.hypercorrelation.correlation import masked_unit_features, unit


@dataclass(frozen=True)
class HSNetConfig:
    """Variants of the network.

    Attributes:
        kernel: the 4D kernel (Table 4): "center-pivot", "separable" or "full".
        mask_support: multiply support features by the mask; False gives the rows of the paper marked with a dagger.
        rescue: replace a support mask that vanishes at a level by the max-pooled mask of the finest level that holds
            it. The published program leaves such a level without correlations.
        channels: of the three layers of each squeeze block; the mix blocks and the decoder have the last number.
    """

    kernel: str = "center-pivot"
    mask_support: bool = True
    rescue: bool = True
    channels: tuple[int, int, int] = (16, 64, 128)


class HSNet(HypercorrelationEncoder):
    """Background and foreground logits of the query, one pair for each shot of an episode.

    Args:
        backbone: its taps have strides 8, 16 and 32, at least one tap of each.
        config: the variant.
    """

    def __init__(self, backbone: Backbone, config: HSNetConfig | None = None) -> None:
        config = config or HSNetConfig()
        super().__init__(backbone, kernel=config.kernel, channels=config.channels)
        self.config = config
        self.decoder = decoder(config.channels[-1], config.channels[-1])
        self.classifier = classifier(config.channels[-1])

    def forward(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
    ) -> Float[Tensor, "b s 2 hq wq"]:
        """Return background and foreground logits at the size of the query, for each shot.

        Args:
            support_images: `s` shots for each of `b` episodes, normalised for the backbone.
            foreground: 1 where a support pixel belongs to the class, in [0, 1].
            query_images: normalised for the backbone.
        """
        shots = foreground.shape[1]
        support = self.support_features(self.taps(support_images.flatten(0, 1)), foreground.flatten(0, 1))
        query = [unit(tap).repeat_interleave(shots, dim=0) for tap in self.taps(query_images)]
        encoded = self.relate(query, support)
        logits = self.decode(encoded, plane_size(query_images))
        return rearrange(logits, "(b s) two h w -> b s two h w", s=shots)

    def support_features(
        self, taps: list[Float[Tensor, "b _c _h _w"]], foreground: Float[Tensor, "b h w"]
    ) -> list[Float[Tensor, "b _c _h _w"]]:
        """Return the unit features of every tap, zero outside the mask (section 4.1, equation 1)."""
        if not self.config.mask_support:
            return [unit(tap) for tap in taps]
        return masked_unit_features(taps, self.strides, foreground, rescue=self.config.rescue)

    def decode(self, encoded: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b 2 ho wo"]:
        """Return logits at `size` (height, width), by way of twice the encoded size (section 4.4)."""
        return classify(self.classifier, self.decoder(encoded), size)

    def loss(
        self,
        support_images: Float[Tensor, "b s 3 h w"],
        foreground: Float[Tensor, "b s h w"],
        query_images: Float[Tensor, "b 3 hq wq"],
        query_labels: Int[Tensor, "b hq wq"],
    ) -> Losses:
        """Return the losses of `forward`'s logits (`few_shot_losses`); the published one is `query`."""
        return few_shot_losses(self(support_images, foreground, query_images), query_labels)


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

    Raises:
        WeightsError: an entry that the published program does not have.
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
