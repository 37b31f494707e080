"""HSNet for one concept and many images: encode the supports once, keep their foreground only.

    supports --> encode_support --> Support --> learned --+
                                                          +--> relate_and_classify --> logits
    query -----> encode_query --> unit taps --------------+

The logits are those of `HSNet.forward` up to rounding. They take less time and memory, because correlations are
computed for foreground positions only and the hypercorrelation never exists as a whole
(`likewise.ops.hypercorrelation.fast`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from likewise.models.hsnet import STRIDES, HSNet
from likewise.ops.features import plane_size, resize
from likewise.ops.hypercorrelation.correlation import Taps, unit
from likewise.ops.hypercorrelation.fast.squeezing import LearnedLevel, enlarge, mean_over_support, mix, squeeze
from likewise.ops.hypercorrelation.fast.threads import one_thread_each
from likewise.ops.hypercorrelation.supports import Support, SupportLevel, check_supports

Learned = dict[int, LearnedLevel]
"""A `Support` as tensors, by stride."""


@torch.no_grad()
def encode_support(model: HSNet, images: Float[Tensor, "b 3 h w"], foreground: Float[Tensor, "b h w"]) -> list[Support]:
    """Return each shot's foreground features at every stride; arguments are as for `HSNet.forward`."""
    masked = [tap.float().cpu().numpy() for tap in model.support_features(model.taps(images), foreground)]
    return [
        Support({stride: SupportLevel.of([tap[shot] for tap in model.of_stride(masked, stride)]) for stride in STRIDES})
        for shot in range(len(images))
    ]


def learned(model: HSNet, supports: Sequence[Support]) -> list[Learned]:
    """Return supports as tensors on the device and in the precision of the model."""
    like = next(model.parameters())
    return [{stride: LearnedLevel.of(level, like) for stride, level in support.levels.items()} for support in supports]


@torch.inference_mode()
def encode_query(model: HSNet, images: Float[Tensor, "b 3 h w"]) -> Taps:
    """Return the unit features of every tap; several classes can be compared with them in turn."""
    taps = model.taps(images)
    for index, tap in enumerate(taps):
        taps[index] = unit(tap)  # frees one tap at a time
    return taps


@torch.inference_mode()
def segment(
    model: HSNet, query_images: Float[Tensor, "b 3 hq wq"], supports: list[Support], size: tuple[int, int] | None = None
) -> Float[Tensor, "b s 2 ho wo"]:
    """Return the logits that `HSNet.forward` computes for these queries and supports, at `size` or the query's.

    Supports are shots of one class from `encode_support`, of any sizes and in any precision.
    """
    check_supports(supports, channels_of(model))
    query, own = encode_query(model, query_images), learned(model, supports)
    logits = [
        relate_and_classify(model, [tap[index : index + 1] for tap in query], own) for index in range(len(query[0]))
    ]
    planes = torch.stack(logits).flatten(0, 1)
    resized = resize(planes, size or plane_size(query_images), align_corners=True)
    return resized.unflatten(0, (len(logits), -1))


@torch.inference_mode()
def relate_and_classify(model: HSNet, query: Taps, supports: Sequence[Learned]) -> Float[Tensor, "s 2 h w"]:
    """Return a pair of logits at twice the encoded size for each shot, in single precision.

    Args:
        query: unit features of one image.
    """
    relate = partial(relate_shot, model, query)
    # on the CPU several shots run at a time, one thread each
    shots = one_thread_each(relate, supports) if query[0].device.type == "cpu" else map(relate, supports)
    return torch.cat([model.classify(shot) for shot in shots]).float().contiguous()


def relate_shot(model: HSNet, query: Taps, support: Learned) -> Float[Tensor, "1 c hq wq"]:
    """Return what `HSNet.relate` computes for one query and one shot, in the model's precision."""
    blocks = {8: model.squeeze8, 16: model.squeeze16, 32: model.squeeze32}
    grids, squeezed = {}, {}
    for stride, block in blocks.items():
        taps = model.of_stride(query, stride)
        grids[stride] = grid = plane_size(taps[0])
        flat = [rearrange(tap, "1 c h w -> (h w) c").contiguous() for tap in taps]
        squeezed[stride] = squeeze(block, flat, grid, support[stride])
    mixed = squeezed[32]
    for block, deep, shallow in ((model.mix32to16, 32, 16), (model.mix16to8, 16, 8)):
        plane = squeezed[shallow].shape
        mixed = enlarge(mixed, grids[deep], grids[shallow], (plane[2], plane[3])) + squeezed[shallow]
        mixed = mix(block, mixed, grids[shallow])
    return mean_over_support(mixed, grids[8])


def channels_of(model: HSNet) -> dict[int, tuple[int, ...]]:
    """Return the channels of the taps of each stride."""
    taps = model.backbone.taps
    return {stride: tuple(tap.channels for tap in taps if tap.stride == stride) for stride in STRIDES}
