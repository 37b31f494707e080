"""MCIBI's published names, and its baseline's, under ours."""

from __future__ import annotations

from torch import Tensor

from likewise.checkpoints.renaming import renamed

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
        renamed(published, PUBLISHED_NAMES, "MCIBI").replace("_project.", "."): value
        for published, value in state.items()
    }
    if "memory.vectors" in found:
        found["memory.seen"] = found["memory.vectors"].any(dim=2)
    return found
