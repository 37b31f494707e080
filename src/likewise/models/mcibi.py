"""MCIBI: pixels that look at the whole data set, by a memory of what each class looks like.

Jin, Gong, Yu, Chu, Wang, Wang, Shao, "Mining Contextual Information Beyond Image for Semantic Segmentation", ICCV 2021.

    images --> backbone --> bottleneck --> stage 1 --> class probabilities --> memory --> context --+
                   |             |                                                                  |
                   |             +--------------------- attend ---------------------------------- fuse --+
                   +--> context within the image (none, PPM, ASPP, OCR) ----- attend ------------ fuse --+
                                                                                                         |
                                                                             resize <-- stage 2 <--------+

A training step has three calls, in this order:

    stages = model.stages(images)
    model.memory.update(stages.features, labels, momentum)
    loss = sum(model.loss(stages, labels, consistency=epoch > 1))

Where paper and program differ, or we from both:
- A class not yet seen has no part in what is read, and a slot without pixels keeps its vector; `published` does both
  as the program does (`likewise.memory`).
- Gradients through the memory are those of the memory that was read. The program updates it in place before the
  backward pass, so its gradients towards stage 1 are those of the updated memory, 20 to 60 % off; that is not offered.
- The memory starts empty and takes each class's first mean, as in the program; `memory.fill` starts it from clusters.
- The momentum is the caller's: `memory.polynomial_momentum` is the paper's, and `memory.coupled_momentum`, which
  follows the learning rate, is the program's.
- The consistency loss is on, as in the paper; the program's settings have it for ADE20K only, from the second epoch.
- A batch without any labelled pixel has the loss 0, not NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Integer
from torch import Tensor, nn

from likewise.backbones import BACKBONES, Backbone, Tap
from likewise.labels import IGNORE
from likewise.memory import DatasetMemory
from likewise.models.image_context import CONTEXTS, Attention, unit
from likewise.ops import plane_size, resize, resize_matrix, soft_iou_loss


@dataclass(frozen=True)
class MCIBIConfig:
    """What can be chosen.

    Attributes:
        context: within the image, besides the memory's: "none", "ppm" (PSPNet), "aspp" (DeepLabv3) or "ocr"
            (`likewise.models.image_context`). The first two take means of whole images, which batch norm can train on
            from two images in a batch.
        aggregation: the memory is read by class probabilities ("soft") or by the likeliest class alone ("hard").
        channels: of the features and of the memory.
        attention_channels: of queries, keys and values.
        slots: the memory's vectors for each class.
        strategy: how the memory averages the pixels of a class; see `DatasetMemory`.
        published: the memory as the published program has it; see `DatasetMemory`.
        dropout: of whole channels, before each classifier.
        detail: refine the logits of stage 2 by the backbone's first tap, which is of a finer stride (`Detail`); the
            paper does not.
    """

    context: str = "none"
    aggregation: str = "soft"
    channels: int = 512
    attention_channels: int = 256
    slots: int = 1
    strategy: str = "cosine_similarity"
    published: bool = False
    dropout: float = 0.1
    detail: bool = False


class Stages(NamedTuple):
    """What training needs of a batch: the features the memory learns from, and logits at their size.

    `auxiliary` is None for a backbone that has no tap for it; `stage2` is as large as what refines it, if any does.
    """

    features: Float[Tensor, "b c h w"]
    auxiliary: Float[Tensor, "b k h w"] | None
    stage1: Float[Tensor, "b k h w"]
    stage2: Float[Tensor, "b k h2 w2"]


class Losses(NamedTuple):
    """What training minimises: their sum. The weights (0.4, 0.4, 1, 1, and the caller's) are already in them."""

    auxiliary: Float[Tensor, ""]
    stage1: Float[Tensor, ""]
    stage2: Float[Tensor, ""]
    consistency: Float[Tensor, ""]
    overlap: Float[Tensor, ""]


def classifier(channels_in: int, channels: int, classes: int, *, kernel: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(*unit(channels_in, channels, kernel), nn.Dropout2d(dropout), nn.Conv2d(channels, classes, 1))


class Detail(nn.Module):
    """Logits at a finer stride, from features there beside those that the logits were made of: thin things need both.

    A small decoder as in Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
    Segmentation" (DeepLabv3+), ECCV 2018; it gives what is added to the resized logits.
    """

    def __init__(self, channels_fine: int, channels: int, classes: int, *, inner: int = 32) -> None:
        super().__init__()
        self.fine, self.coarse = unit(channels_fine, inner), unit(channels, 2 * inner)
        self.join = nn.Sequential(*unit(3 * inner, 2 * inner, 3), nn.Conv2d(2 * inner, classes, 1))

    def forward(
        self,
        logits: Float[Tensor, "b k h w"],
        features: Float[Tensor, "b c h w"],
        fine: Float[Tensor, "b cf hf wf"],
    ) -> Float[Tensor, "b k hf wf"]:
        size = plane_size(fine)
        logits, coarse = (resize(part, size, align_corners=False) for part in (logits, self.coarse(features)))
        return logits + self.join(torch.cat([self.fine(fine), coarse], dim=1))


# ---- the model ----------------------------------------------------------------------------------------------------


class MCIBI(nn.Module):
    """Logits of every pixel for each class.

    Args:
        backbone: its last tap, at stride 8 in the paper, gives the features; the one before, if any, feeds the
            auxiliary head, but for the first where that is for `detail`.
        classes: names, in the order of their labels.
        config: the choices.
    """

    def __init__(self, backbone: Backbone, classes: Sequence[str], config: MCIBIConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config = config or MCIBIConfig()
        if config.context not in CONTEXTS:
            raise ValueError(f"no context {config.context!r}; there are: {', '.join(CONTEXTS)}")
        if config.aggregation not in ("soft", "hard"):
            raise ValueError(f"no aggregation {config.aggregation!r}; there are: soft, hard")
        top, channels, inner = backbone.taps[-1].channels, config.channels, config.attention_channels

        def head(channels_in: int, kernel: int) -> nn.Sequential:
            return classifier(channels_in, channels, len(classes), kernel=kernel, dropout=config.dropout)

        self.bottleneck = unit(top, channels, 3)
        self.stage1 = head(channels, 1)
        self.memory = DatasetMemory(
            classes, channels, slots=config.slots, strategy=config.strategy, published=config.published
        )
        self.attend = nn.ModuleList(Attention(channels, inner) for _ in range(config.slots))
        self.join_slots = unit(config.slots * channels, channels) if config.slots > 1 else nn.Identity()
        self.fuse = unit(2 * channels, channels, 3)
        make_context = CONTEXTS[config.context]
        self.context = None if make_context is None else make_context(top, channels)
        if self.context is not None:
            self.attend_within = Attention(channels, inner)
            self.fuse_within = unit(2 * channels, channels, 3)
        self.stage2 = head(channels, 1)
        self.detail = detail_of(backbone, channels, len(classes)) if config.detail else None
        before = taps_before(backbone, config.detail)
        self.auxiliary = head(before[-1].channels, 3) if before else None

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Logits at the size of the images, which are normalised for the backbone."""
        levels = self.backbone(images)
        features = self.bottleneck(top := levels[-1])
        stage1 = self.stage1(features)
        related = self.relate_within(features, self.relate(features, stage1), top, stage1)
        return self.decode(self.classify(related, levels[0]), plane_size(images))

    def stages(self, images: Float[Tensor, "b 3 h w"]) -> Stages:
        """What `memory.update` and `loss` need: every head's logits, at the size of the features."""
        levels = self.backbone(images)
        features = self.bottleneck(top := levels[-1])
        stage1 = self.stage1(features)
        related = self.relate_within(features, self.relate(features, stage1), top, stage1)
        auxiliary = None if self.auxiliary is None else self.auxiliary(levels[-2])
        return Stages(features, auxiliary, stage1, self.classify(related, levels[0]))

    def relate(self, features: Float[Tensor, "b c h w"], stage1: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """The features beside what the memory knows of the classes that stage 1 found."""
        probabilities = stage1.softmax(dim=1)
        if self.config.aggregation == "hard":
            likeliest = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1])
            probabilities = likeliest.movedim(-1, 1).to(probabilities.dtype)
        contexts = self.memory.read(probabilities).unbind(dim=1)
        attended = [attend(features, context) for attend, context in zip(self.attend, contexts, strict=True)]
        return self.fuse(torch.cat([features, self.join_slots(torch.cat(attended, dim=1))], dim=1))

    def relate_within(
        self,
        features: Float[Tensor, "b c h w"],
        related: Float[Tensor, "b c h w"],
        top: Float[Tensor, "b ct h w"],
        stage1: Float[Tensor, "b k h w"],
    ) -> Float[Tensor, "b c h w"]:
        """The same beside the image's own context, if any."""
        if self.context is None:
            return related
        attended = self.attend_within(features, self.context(top, stage1))
        return self.fuse_within(torch.cat([attended, related], dim=1))

    def classify(
        self, related: Float[Tensor, "b c h w"], fine: Float[Tensor, "b cf hf wf"]
    ) -> Float[Tensor, "b k h2 w2"]:
        """The logits of stage 2, refined by the features `fine` if there is a detail head."""
        logits = self.stage2(related)
        return logits if self.detail is None else self.detail(logits, related, fine)

    def decode(self, logits: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b k ho wo"]:
        """The logits at the wanted size; their softmax is the probability."""
        return resize(logits, size, align_corners=False)

    def loss(
        self,
        stages: Stages,
        labels: Integer[Tensor, "b hl wl"],
        weights: Float[Tensor, " k"] | None = None,
        *,
        consistency: bool = True,
        overlap: float = 0.0,
    ) -> Losses:
        """Cross-entropies at the size of the labels, and that of the memory's vectors.

        Args:
            labels: the class of each pixel, 255 for those that do not count.
            weights: what a pixel of each class weighs in the cross-entropies of pixels; 1 without them.
            consistency: with the loss that asks stage 2 to tell the memory's vectors apart, as it stands, so after
                the update. Its gradient reaches stage 2 only. In training, batch norm sees the vectors as one more
                batch; with less than two of them this loss is 0.
            overlap: the weight of stage 2's `overlap_loss`, which the paper does not have.
        """
        none = stages.stage2.new_zeros(())
        vectors, classes = self.memory.rows()
        told = none
        if consistency and len(vectors) > 1:
            told = F.cross_entropy(self.stage2(vectors[:, :, None, None])[:, :, 0, 0], classes)
        return Losses(
            none if stages.auxiliary is None else 0.4 * cross_entropy(stages.auxiliary, labels, weights),
            0.4 * cross_entropy(stages.stage1, labels, weights),
            cross_entropy(stages.stage2, labels, weights),
            told,
            overlap * overlap_loss(stages.stage2, labels) if overlap else none,
        )


class FCN(nn.Module):
    """The published package's baseline: the same backbone and heads without the memory.

    Args:
        convolutions: 3x3, each with batch norm and ReLU, before the classifier.
        detail: as in `MCIBIConfig`.
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
        more = [layer for _ in range(convolutions - 1) for layer in unit(channels, channels, 3)]
        first, top = unit(backbone.taps[-1].channels, channels, 3), nn.Conv2d(channels, len(classes), 1)
        self.decoder = nn.Sequential(*first, *more, nn.Dropout2d(dropout), top)
        self.detail = detail_of(backbone, channels, len(classes)) if detail else None
        self.auxiliary = None
        if before := taps_before(backbone, detail):
            self.auxiliary = classifier(before[-1].channels, channels, len(classes), kernel=3, dropout=dropout)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Logits at the size of the images."""
        levels = self.backbone(images)
        return resize(self.classify(levels[-1], levels[0]), plane_size(images), align_corners=False)

    def classify(self, top: Float[Tensor, "b ct h w"], fine: Float[Tensor, "b cf hf wf"]) -> Float[Tensor, "b k h2 w2"]:
        """The decoder's logits, refined by the features `fine` if there is a detail head."""
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
        """Cross-entropy, and 0.4 of the auxiliary head's; labels, weights and overlap as in `MCIBI.loss`."""
        levels = self.backbone(images)
        logits = self.classify(levels[-1], levels[0])
        loss = cross_entropy(logits, labels, weights)
        if overlap:
            loss = loss + overlap * overlap_loss(logits, labels)
        if self.auxiliary is None:
            return loss
        return loss + 0.4 * cross_entropy(self.auxiliary(levels[-2]), labels, weights)


def cross_entropy(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b hl wl"],
    weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """The mean over the labelled pixels, by their classes' weights, of the logits resized to them; 0 if none is."""
    weights = logits.new_ones(logits.shape[1], dtype=torch.float32) if weights is None else weights.float()
    with torch.autocast(logits.device.type, enabled=False):
        resized = as_large_as(labels, logits.float())
        total = F.cross_entropy(resized, labels.long(), weights, ignore_index=IGNORE, reduction="sum")
    weight = weight_of_pixels(labels, weights)
    return total / weight.where(weight > 0, 1)


def overlap_loss(logits: Float[Tensor, "b k h w"], labels: Integer[Tensor, "b hl wl"]) -> Float[Tensor, ""]:
    """One minus the soft IoU of a class, of all pictures together, mean over the classes that occur; 0 if none does.

    What mIoU counts, so that a class of few pixels weighs as much as one of many (Rahman and Wang, "Optimizing
    Intersection-over-Union in Deep Neural Networks for Image Segmentation", ISVC 2016).
    """
    classes = labels[labels != IGNORE].unique().long()
    if not len(classes):
        return logits.new_zeros(())
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = as_large_as(labels, logits.float()).softmax(dim=1)[:, classes]
        probabilities = probabilities * (labels != IGNORE)[:, None]
    masks = (labels[:, None] == classes[:, None, None]).to(probabilities.dtype)
    return soft_iou_loss(rearrange(probabilities, "b k h w -> k 1 (b h) w"), rearrange(masks, "b k h w -> k (b h) w"))


def as_large_as(labels: Integer[Tensor, "b hl wl"], logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k hl wl"]:
    """The logits at the size of the labels, as `resize` does; the backward pass of two products is much quicker."""
    rows = resize_matrix(logits.shape[2], labels.shape[1], align_corners=False, like=logits)
    columns = resize_matrix(logits.shape[3], labels.shape[2], align_corners=False, like=logits)
    return rows @ (logits @ columns.T)


def taps_before(backbone: Backbone, detail: bool) -> tuple[Tap, ...]:
    """The taps before the last that are not for the detail head."""
    return backbone.taps[int(detail) : -1]


def detail_of(backbone: Backbone, channels: int, classes: int) -> Detail:
    """The detail head for the backbone's first tap.

    Raises:
        ValueError: that is no finer than the last.
    """
    fine, top = backbone.taps[0], backbone.taps[-1]
    if fine.stride >= top.stride:
        raise ValueError(
            f"detail needs a first tap of a finer stride than the last; {fine.module} has {fine.stride}, {top.module} "
            f"has {top.stride}: add a shallower one, as blocks.1.1 of lite0-stride8"
        )
    return Detail(fine.channels, channels, classes)


def weight_of_pixels(labels: Integer[Tensor, "b h w"], weights: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """The sum over the labelled pixels of what their classes weigh."""
    pixels = labels.long().flatten().bincount(minlength=IGNORE + 1)[: len(weights)]
    return (pixels * weights).sum()


# ---- variants ------------------------------------------------------------------------------------------------------


def resnet(depth: int, classes: Sequence[str], config: MCIBIConfig | None = None) -> MCIBI:
    """The published program on ResNet (`depth` 50 or 101) of stride 8."""
    return MCIBI(Backbone(BACKBONES[f"resnet{depth}-stride8"], frozen=False), classes, config)


def lite0(classes: Sequence[str], config: MCIBIConfig | None = None) -> MCIBI:
    """Ours, on the bundled backbone at stride 8, with 128 channels."""
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.6.0")
    return MCIBI(Backbone(spec, frozen=False), classes, config or MCIBIConfig(channels=128, attention_channels=64))
