"""HSNet for one concept and many images: encode the supports once, keep their foreground only.

    supports --> encode_support --> Support --+
                                              +--> segment_encoded --> logits
    query -----> encode_query --> unit taps --+

The logits are those of `HSNet.forward` up to rounding. They take less time and memory, because correlations are
computed for foreground positions only and the hypercorrelation never exists as a whole
(`likewise.ops.hypercorrelation.fast`).
"""

from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from likewise.errors import ConceptError
from likewise.models.hsnet import STRIDES, HSNet
from likewise.ops.features import plane_size
from likewise.ops.hypercorrelation.correlation import Taps, unit
from likewise.ops.hypercorrelation.fast.squeezing import enlarge, mean_over_support, mix, squeeze
from likewise.ops.hypercorrelation.fast.threads import one_thread_each
from likewise.ops.hypercorrelation.supports import Support, SupportLevel


@torch.no_grad()
def encode_support(model: HSNet, images: Float[Tensor, "b 3 h w"], foreground: Float[Tensor, "b h w"]) -> list[Support]:
    """Return each shot's foreground features at every stride; arguments are as for `HSNet.forward`."""
    masked = model.support_features(model.taps(images), foreground)
    return [
        Support({stride: SupportLevel.of([tap[shot] for tap in model.of_stride(masked, stride)]) for stride in STRIDES})
        for shot in range(len(images))
    ]


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
    check_supports(model, supports)
    query = encode_query(model, query_images)
    supports = [support.to(query[0]) for support in supports]
    return segment_encoded(model, query, supports, size or plane_size(query_images))


@torch.inference_mode()
def segment_encoded(
    model: HSNet, query: Taps, supports: list[Support], size: tuple[int, int]
) -> Float[Tensor, "b s 2 ho wo"]:
    """Return a pair of logits at `size` (height, width) for each shot; supports have the query's device and dtype."""
    logits = []
    for index in range(len(query[0])):
        units = [tap[index : index + 1] for tap in query]
        relate = partial(relate_shot, model, units)
        # on the CPU several shots run at a time, one thread each
        shots = one_thread_each(relate, supports) if units[0].device.type == "cpu" else map(relate, supports)
        pairs = [model.decode(shot, size) for shot in shots]
        logits.append(torch.stack(pairs, dim=1))
    return torch.cat(logits)


def relate_shot(model: HSNet, query: Taps, support: Support) -> Float[Tensor, "1 c hq wq"]:
    """Return what `HSNet.relate` computes for one query and one shot, in the model's precision."""
    blocks = {8: model.squeeze8, 16: model.squeeze16, 32: model.squeeze32}
    grids, squeezed = {}, {}
    for stride, block in blocks.items():
        taps = model.of_stride(query, stride)
        grids[stride] = grid = plane_size(taps[0])
        flat = [rearrange(tap, "1 c h w -> (h w) c").contiguous() for tap in taps]
        squeezed[stride] = squeeze(block, flat, grid, support.levels[stride])
    mixed = squeezed[32]
    for block, deep, shallow in ((model.mix32to16, 32, 16), (model.mix16to8, 16, 8)):
        plane = squeezed[shallow].shape
        mixed = enlarge(mixed, grids[deep], grids[shallow], (plane[2], plane[3])) + squeezed[shallow]
        mixed = mix(block, mixed, grids[shallow])
    return mean_over_support(mixed, grids[8])


def check_supports(model: HSNet, supports: list[Support]) -> None:
    """Raise a `ConceptError` unless there are supports and they were encoded with this backbone."""
    if not supports:
        raise ConceptError("no supports to segment with; encode at least one example first")
    channels = [tap.channels for stride in STRIDES for tap in model.backbone.taps if tap.stride == stride]
    for support in supports:
        found = [tap.shape[1] for level in support.levels.values() for tap in level.features]
        if found != channels:
            raise ConceptError(
                f"the support has {len(found)} taps of {sum(found)} channels, {model.backbone.spec.name} has "
                f"{len(channels)} of {sum(channels)}: it was encoded with another backbone; encode it again"
            )
