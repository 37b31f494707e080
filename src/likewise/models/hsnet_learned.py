"""HSNet on examples that are learned once: the same answers as from whole episodes, sooner and in less memory.

examples --> learn --> supports: what is under their masks, and little of what is outside --> gather --+
query ---> HSNet.look ---------------------------------------------------------------------------------+--> compare
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from likewise.models.hsnet import STRIDES, HSNet, Query
from likewise.ops.features import plane_size
from likewise.ops.hypercorrelation.correlation import correlate
from likewise.ops.hypercorrelation.fast.squeezing import enlarge, mean_over_support, mix, squeeze
from likewise.ops.hypercorrelation.fast.threads import one_thread_each
from likewise.ops.hypercorrelation.supports import Support, SupportLevel
from likewise.ops.prototypes import Prototypes, Shown, likeness, together
from likewise.ops.shots import weights_by_area


class Gathered(NamedTuple):
    """The learned shots of one class.

    Attributes:
        weights: how much each counts in a mean of the background and of the foreground.
        prototypes: of all.
    """

    supports: list[Support]
    weights: Float[Tensor, "1 s 2"]
    prototypes: Prototypes


@torch.no_grad()
def learn(
    model: HSNet,
    images: Float[Tensor, "b 3 h w"],
    foreground: Float[Tensor, "b h w"],
    background: Float[Tensor, "b h w"] | None = None,
) -> list[Support]:
    """What `segment` needs to know of each shot: for each stride, the features of its foreground positions.

    Args:
        background: 1 where a pixel is known not to belong to the class; what is not foreground unless given.
    """
    taps = model.taps(images)
    masked = model.support_features(taps, foreground)
    shown = model.show(taps, foreground, 1 - foreground if background is None else background)
    return [
        Support(
            {stride: SupportLevel.of([tap[shot] for tap in model.of_stride(masked, stride)]) for stride in STRIDES},
            Shown(*(part[shot] for part in shown)),
        )
        for shot in range(len(images))
    ]


@torch.inference_mode()
def segment(
    model: HSNet,
    query_images: Float[Tensor, "b 3 hq wq"],
    supports: list[Support],
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "b t 2 ho wo"]:
    """What `HSNet.forward` gives for these queries and the learned shots, sooner and in less memory.

    Args:
        supports: from `learn`, of any sizes and in any precision.
        size: of the logits, height and width; that of the query unless given.

    Raises:
        ValueError: no supports, or some that were learned on another backbone.
    """
    check(model, supports)
    query = model.look(query_images)
    return compare(model, query, gather(supports, query.compared), size or plane_size(query_images))


@torch.inference_mode()
def gather(supports: list[Support], like: Tensor) -> Gathered:
    """The learned shots of one class as `compare` takes them, on the device and in the precision of `like`."""
    supports = [support.to(like) for support in supports]
    areas = [support.levels[STRIDES[0]].area for support in supports]
    weights = weights_by_area(torch.tensor([areas], device=like.device))
    shown = zip(*(support.shown for support in supports), strict=True)
    return Gathered(supports, weights, together(Shown(*(torch.stack(parts)[None] for parts in shown)), weights))


@torch.inference_mode()
def compare(model: HSNet, query: Query, shots: Gathered, size: tuple[int, int]) -> Float[Tensor, "b t 2 ho wo"]:
    """`segment`, of queries that `HSNet.look` has seen already: several classes look at them one after the other."""
    logits = []
    for index in range(len(query.compared)):
        encoded = None
        if model.decoded(len(shots.supports)):
            units = [tap[index : index + 1] for tap in query.units]
            encoded = torch.stack(relate_each(model, units, shots.supports), dim=1)
        alike = likeness(query.compared[index : index + 1], shots.prototypes, self_support=model.config.self_support)
        logits.append(model.decode_shots(encoded, size, alike, shots.weights))
    return torch.cat(logits)


def relate_each(
    model: HSNet, query: list[Float[Tensor, "1 _c _hq _wq"]], supports: list[Support]
) -> list[Float[Tensor, "1 c hq wq"]]:
    """`relate_learned` of every shot: on the processor several at a time."""
    relate = partial(relate_learned, model, query)
    if query[0].device.type == "cpu":
        return one_thread_each(relate, supports)
    return [relate(support) for support in supports]


def relate_learned(
    model: HSNet, query: list[Float[Tensor, "1 _c _hq _wq"]], support: Support
) -> Float[Tensor, "1 c hq wq"]:
    """`HSNet.relate` for one query and one learned shot, both in the model's precision."""
    if model.config.kernel != "center-pivot":
        dense = [level.dense() for level in support.levels.values()]
        return model.squeeze_and_mix(
            *(
                correlate(model.of_stride(query, stride), taps)
                for stride, taps in zip(support.levels, dense, strict=True)
            )
        )
    blocks = {8: model.squeeze8, 16: model.squeeze16, 32: model.squeeze32}
    grids, squeezed = {}, {}
    for stride, block in blocks.items():
        taps = model.of_stride(query, stride)
        grids[stride] = grid = (taps[0].shape[2], taps[0].shape[3])
        flat = [rearrange(tap, "1 c h w -> (h w) c").contiguous() for tap in taps]
        squeezed[stride] = squeeze(block, flat, grid, support.levels[stride])
    mixed = squeezed[32]
    for block, deep, shallow in ((model.mix32to16, 32, 16), (model.mix16to8, 16, 8)):
        plane = squeezed[shallow].shape
        mixed = enlarge(mixed, grids[deep], grids[shallow], (plane[2], plane[3])) + squeezed[shallow]
        mixed = mix(block, mixed, grids[shallow])
    return mean_over_support(mixed, grids[8])


def check(model: HSNet, supports: list[Support]) -> None:
    if not supports:
        raise ValueError("no supports to segment with: learn at least one example first")
    channels = [tap.channels for stride in STRIDES for tap in model.backbone.taps if tap.stride == stride]
    for support in supports:
        found = [tap.shape[1] for level in support.levels.values() for tap in level.features]
        if found != channels:
            raise ValueError(
                f"the support has {len(found)} taps of {sum(found)} channels, {model.backbone.spec.name} has "
                f"{len(channels)} of {sum(channels)}: it was learned on another backbone, learn it again on this"
            )
