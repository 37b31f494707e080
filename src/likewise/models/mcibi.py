"""MCIBI: scene segmentation with a dataset-level memory of the features of each class.

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

Differences between paper and program, and ours from both:

- An unseen class is left out of `read`, and a slot without pixels keeps its vector. `MCIBIConfig.published` does both
  as the program does (`likewise.models.blocks.dataset_memory`).
- Gradients through the memory are those of the memory that was read. The program updates the memory in place before
  the backward pass, which changes the gradients towards stage 1 by 20 to 60 %.
- The memory starts empty and takes each class's first mean, as in the program; `memory.fill` starts it from clusters.
- The caller passes the momentum: `polynomial_momentum` is the paper's; `coupled_momentum`, which follows the learning
  rate, is the program's.
- The consistency loss is on, as in the paper; the program uses it for ADE20K only, from the second epoch.
- A batch without labelled pixels has loss 0, not NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor, nn

from likewise.backbones.taps import Backbone
from likewise.errors import ModelError
from likewise.models.blocks.context import CONTEXTS, Attention, conv_norm_relu
from likewise.models.blocks.dataset_memory import DatasetMemory
from likewise.models.blocks.renaming import rename_entry
from likewise.models.blocks.scene_heads import auxiliary_taps, build_detail, classifier, cross_entropy, overlap_loss
from likewise.ops.features import plane_size, resize


@dataclass(frozen=True)
class MCIBIConfig:
    """Variants of the network.

    Attributes:
        context: context within the image, beside the memory: "none", "ppm" (PSPNet), "aspp" (DeepLabv3) or "ocr"
            (`likewise.models.blocks.context`). Batch norm in "ppm" and "aspp" needs two images in a batch.
        aggregation: read the memory by class probabilities ("soft") or by the most probable class alone ("hard").
        channels: of the features and of the memory.
        attention_channels: of queries, keys and values.
        slots: vectors of the memory for each class.
        strategy: how the memory averages the pixels of a class; see `DatasetMemory`.
        published: whether the memory behaves as in the published program; see `DatasetMemory`.
        dropout: probability of dropping a channel before each classifier.
        detail: refine the logits of stage 2 with the backbone's first tap, of a finer stride (`Detail`); ours.
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
    """Output of every head for a batch, for `DatasetMemory.update` (`features`) and `MCIBI.loss`.

    The memory is read by the logits `stage1`. `stage2` are the final logits, at the stride of the detail head if there
    is one; `auxiliary` is None if the backbone has no tap for it.
    """

    features: Float[Tensor, "b c h w"]
    auxiliary: Float[Tensor, "b k h w"] | None
    stage1: Float[Tensor, "b k h w"]
    stage2: Float[Tensor, "b k h2 w2"]


class Losses(NamedTuple):
    """Weighted losses (0.4, 0.4, 1, 1, and the caller's weight); training minimises their sum."""

    auxiliary: Float[Tensor, ""]
    stage1: Float[Tensor, ""]
    stage2: Float[Tensor, ""]
    consistency: Float[Tensor, ""]
    overlap: Float[Tensor, ""]


class MCIBI(nn.Module):
    """Logits of every pixel for each class.

    The backbone's last tap, at stride 8 in the paper, is the input of both stages; the one before it, if any, of the
    auxiliary head. With `detail` the first tap is for the detail head only. `classes` are in the order of their labels.
    """

    def __init__(self, backbone: Backbone, classes: Sequence[str], config: MCIBIConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config = config or MCIBIConfig()
        if config.context not in CONTEXTS:
            raise ModelError(f"no context {config.context!r}; choose one of: {', '.join(CONTEXTS)}")
        if config.aggregation not in ("soft", "hard"):
            raise ModelError(f"no aggregation {config.aggregation!r}; choose one of: soft, hard")
        top, channels, inner = backbone.taps[-1].channels, config.channels, config.attention_channels

        def head(channels_in: int, kernel: int) -> nn.Sequential:
            return classifier(channels_in, channels, len(classes), kernel=kernel, dropout=config.dropout)

        self.bottleneck = conv_norm_relu(top, channels, 3)
        self.stage1 = head(channels, 1)
        self.memory = DatasetMemory(
            classes, channels, slots=config.slots, strategy=config.strategy, published=config.published
        )
        self.attend = nn.ModuleList(Attention(channels, inner) for _ in range(config.slots))
        self.join_slots = conv_norm_relu(config.slots * channels, channels) if config.slots > 1 else nn.Identity()
        self.fuse = conv_norm_relu(2 * channels, channels, 3)
        make_context = CONTEXTS[config.context]
        self.context = None if make_context is None else make_context(top, channels)
        if self.context is not None:
            self.attend_within = Attention(channels, inner)
            self.fuse_within = conv_norm_relu(2 * channels, channels, 3)
        self.stage2 = head(channels, 1)
        self.detail = build_detail(backbone, channels, len(classes)) if config.detail else None
        before = auxiliary_taps(backbone, config.detail)
        self.auxiliary = head(before[-1].channels, 3) if before else None

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Return logits at the size of the images, which are normalised for the backbone."""
        levels = self.backbone(images)
        features = self.bottleneck(top := levels[-1])
        stage1 = self.stage1(features)
        related = self.relate_within(features, self.relate(features, stage1), top, stage1)
        return self.decode(self.classify(related, levels[0]), plane_size(images))

    def stages(self, images: Float[Tensor, "b 3 h w"]) -> Stages:
        """Return the features and every head's logits, for `memory.update` and `loss`."""
        levels = self.backbone(images)
        features = self.bottleneck(top := levels[-1])
        stage1 = self.stage1(features)
        related = self.relate_within(features, self.relate(features, stage1), top, stage1)
        auxiliary = None if self.auxiliary is None else self.auxiliary(levels[-2])
        return Stages(features, auxiliary, stage1, self.classify(related, levels[0]))

    def relate(self, features: Float[Tensor, "b c h w"], stage1: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """Return the features fused with the dataset-level context, read from the memory by stage 1's probabilities."""
        probabilities = stage1.softmax(dim=1)
        if self.config.aggregation == "hard":
            most_probable = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1])
            probabilities = most_probable.movedim(-1, 1).to(probabilities.dtype)
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
        """Return the related features fused with the context within the image, if there is one."""
        if self.context is None:
            return related
        attended = self.attend_within(features, self.context(top, stage1))
        return self.fuse_within(torch.cat([attended, related], dim=1))

    def classify(
        self, related: Float[Tensor, "b c h w"], fine: Float[Tensor, "b cf hf wf"]
    ) -> Float[Tensor, "b k h2 w2"]:
        """Return the logits of stage 2, refined with the features `fine` if there is a detail head."""
        logits = self.stage2(related)
        return logits if self.detail is None else self.detail(logits, related, fine)

    def decode(self, logits: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b k ho wo"]:
        """Return the logits at `size` (height, width); their softmax is the probability."""
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
        """Return cross-entropies at the size of the labels, and that of the memory's vectors.

        Args:
            labels: class of each pixel, 255 for void.
            weights: weight of a pixel of each class in the cross-entropies of pixels; 1 by default.
            consistency: with the cross-entropy of stage 2 on the memory's vectors, which must be updated before. Its
                gradient reaches stage 2 only. Batch norm in training sees the vectors as one more batch; with fewer
                than two vectors this loss is 0.
            overlap: weight of stage 2's `overlap_loss`, which is ours.
        """
        zero = stages.stage2.new_zeros(())
        vectors, classes = self.memory.rows()
        consistency_loss = zero
        if consistency and len(vectors) > 1:
            consistency_loss = F.cross_entropy(self.stage2(vectors[:, :, None, None])[:, :, 0, 0], classes)
        return Losses(
            zero if stages.auxiliary is None else 0.4 * cross_entropy(stages.auxiliary, labels, weights),
            0.4 * cross_entropy(stages.stage1, labels, weights),
            cross_entropy(stages.stage2, labels, weights),
            consistency_loss,
            overlap * overlap_loss(stages.stage2, labels) if overlap else zero,
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
    """Return the entries of the published program, or of its baseline, under our names; they may start with `module.`.

    The program does not record which vectors of the memory have been seen: those that are not all zero have.
    """
    found = {
        rename_entry(published, PUBLISHED_NAMES, "MCIBI").replace("_project.", "."): value
        for published, value in state.items()
    }
    if "memory.vectors" in found:
        found["memory.seen"] = found["memory.vectors"].any(dim=2)
    return found
