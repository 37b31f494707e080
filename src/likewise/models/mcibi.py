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
  as the program does (`likewise.models.blocks.dataset_memory`).
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
from jaxtyping import Float, Integer
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.models.blocks.context import CONTEXTS, Attention, unit
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.models.blocks.renaming import rename_entry
from likewise.models.blocks.scene_heads import (
    classifier,
    cross_entropy,
    detail_of,
    overlap_loss,
    taps_before,
)
from likewise.ops.features import plane_size, resize


@dataclass(frozen=True)
class MCIBIConfig:
    """What can be chosen.

    Attributes:
        context: within the image, besides the memory's: "none", "ppm" (PSPNet), "aspp" (DeepLabv3) or "ocr"
            (`likewise.models.blocks.context`). The first two take means of whole images, which batch norm can train on
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


PUBLISHED_NAMES = {
    "backbone_net.stem.7.": "backbone.net.bn1.",
    "backbone_net.stem.": "backbone.net.conv1.",
    "backbone_net.layer": "backbone.net.layer",
    "bottleneck.": "bottleneck.",
    "decoder_stage1.": "stage1.",
    "decoder_stage2.": "stage2.",
    "decoder.": "decoder.",
    "auxiliary_decoder.": "auxiliary.",
    "memory_module.memory": "memory.vectors",
    "memory_module.self_attention.": "attend.0.",
    "memory_module.self_attentions.": "attend.",
    "memory_module.self_attention_ms.": "attend_within.",
    "memory_module.fuse_memory_conv.": "join_slots.",
    "memory_module.bottleneck.": "fuse.",
    "memory_module.bottleneck_ms.": "fuse_within.",
    "context_within_image_module.parallel_branches.": "context.branches.",
    "context_within_image_module.global_branch.": "context.pooled.",
    "context_within_image_module.branches.": "context.branches.",
    "context_within_image_module.bottleneck.": "context.join.",
}


def from_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published program's entries, or its baseline's, under our names, with or without `module.` before them.

    Whether a vector of the memory has been seen is not among them: there, one that is all zero has not.

    Raises:
        ValueError: an entry that the published program does not have.
    """
    found = {
        rename_entry(published, PUBLISHED_NAMES, "MCIBI").replace("_project.", "."): value
        for published, value in state.items()
    }
    if "memory.vectors" in found:
        found["memory.seen"] = found["memory.vectors"].any(dim=2)
    return found


def resnet(depth: int, classes: Sequence[str], config: MCIBIConfig | None = None) -> MCIBI:
    """The published program on ResNet (`depth` 50 or 101) of stride 8."""
    return MCIBI(Backbone(BACKBONES[f"resnet{depth}-stride8"], frozen=False), classes, config)


def lite0(classes: Sequence[str], config: MCIBIConfig | None = None) -> MCIBI:
    """Ours, on the bundled backbone at stride 8, with 128 channels."""
    spec = BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.6.0")
    return MCIBI(Backbone(spec, frozen=False), classes, config or MCIBIConfig(channels=128, attention_channels=64))
