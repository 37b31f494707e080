"""FCN: scene segmentation without memory; the baseline of MCIBI in its published program.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015.

    images --> backbone --> decoder --> detail (optional) --> resize --> softmax
"""

from collections.abc import Sequence

from jaxtyping import Float, Integer
from torch import Tensor, nn

from likewise.backbones.taps import Backbone
from likewise.models.blocks.context import conv_norm_relu
from likewise.models.blocks.scene_heads import auxiliary_taps, build_detail, classifier, cross_entropy, overlap_loss
from likewise.ops.features import plane_size, resize


class FCN(nn.Module):
    """Logits of every pixel for each class, with the backbone and heads of MCIBI but no memory.

    The backbone's last tap is the decoder's input; the one before it, if any, that of the auxiliary head. The decoder
    has `convolutions` 3x3 convolutions with batch norm and ReLU, then a classifier with `dropout` of channels. `detail`
    refines the logits with the first tap, of a finer stride (`scene_heads.Detail`).
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: Sequence[str],
        *,
        convolutions: int = 2,
        channels: int = 512,
        dropout: float = 0.1,
        detail: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        more = [layer for _ in range(convolutions - 1) for layer in conv_norm_relu(channels, channels, 3)]
        first, top = conv_norm_relu(backbone.taps[-1].channels, channels, 3), nn.Conv2d(channels, len(classes), 1)
        self.decoder = nn.Sequential(*first, *more, nn.Dropout2d(dropout), top)
        self.detail = build_detail(backbone, channels, len(classes)) if detail else None
        self.auxiliary = None
        if before := auxiliary_taps(backbone, detail):
            self.auxiliary = classifier(before[-1].channels, channels, len(classes), kernel=3, dropout=dropout)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Return logits at the size of the images, which are normalised for the backbone."""
        levels = self.backbone(images)
        return resize(self.classify(levels[-1], levels[0]), plane_size(images), align_corners=False)

    def classify(self, top: Float[Tensor, "b ct h w"], fine: Float[Tensor, "b cf hf wf"]) -> Float[Tensor, "b k h2 w2"]:
        """Return the decoder's logits, refined with the features `fine` if there is a detail head."""
        features = self.decoder[:-2](top)
        logits = self.decoder[-2:](features)
        return logits if self.detail is None else self.detail(logits, features, fine)

    def loss(
        self,
        images: Float[Tensor, "b 3 h w"],
        labels: Integer[Tensor, "b h w"],
        weights: Float[Tensor, " k"] | None = None,
        *,
        overlap: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy plus 0.4 of the auxiliary head's; labels, weights and overlap as in `MCIBI.loss`."""
        levels = self.backbone(images)
        logits = self.classify(levels[-1], levels[0])
        loss = cross_entropy(logits, labels, weights)
        if overlap:
            loss = loss + overlap * overlap_loss(logits, labels)
        if self.auxiliary is None:
            return loss
        return loss + 0.4 * cross_entropy(self.auxiliary(levels[-2]), labels, weights)
