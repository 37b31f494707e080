"""HSNet and PrototypeHSNet for one concept and many images: encode the supports once, keep their foreground only.

    supports --> encode_support --> Support --> merge_supports --> EncodedClass --+
                                                                                  +--> segment_encoded --> logits
    query -----> encode_query --> EncodedQuery -----------------------------------+

The logits are those of the models' `forward` up to rounding. They take less time and memory, because correlations are
computed for foreground positions only and the hypercorrelation never exists as a whole
(`likewise.ops.hypercorrelation.fast`).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from likewise.errors import ConceptError
from likewise.models.blocks.hypercorrelation import STRIDES, HypercorrelationEncoder
from likewise.models.hsnet import HSNet
from likewise.models.prototype_hsnet import PrototypeHSNet
from likewise.ops.features import plane_size
from likewise.ops.hypercorrelation.correlation import unit
from likewise.ops.hypercorrelation.fast.squeezing import enlarge, mean_over_support, mix, squeeze
from likewise.ops.hypercorrelation.fast.threads import one_thread_each
from likewise.ops.hypercorrelation.kernels import CenterPivotConv4d
from likewise.ops.hypercorrelation.supports import Support, SupportLevel
from likewise.ops.prototypes import Prototypes, SupportStatistics


class EncodedQuery(NamedTuple):
    """The features of some queries.

    Attributes:
        units: unit features of every tap.
        prototype_features: features compared with prototypes; None for HSNet.
    """

    units: list[Tensor]
    prototype_features: Float[Tensor, "b c h w"] | None

    def image(self, index: int) -> EncodedQuery:
        """Return the features of one query; the batch axis stays."""
        one = slice(index, index + 1)
        features = self.prototype_features
        return EncodedQuery([tap[one] for tap in self.units], None if features is None else features[one])


class EncodedClass(NamedTuple):
    """The encoded shots of one class.

    Attributes:
        supports: the shots.
        prototypes: of all shots; None for HSNet.
    """

    supports: list[Support]
    prototypes: Prototypes | None


@torch.no_grad()
def encode_support(
    model: HSNet | PrototypeHSNet,
    images: Float[Tensor, "b 3 h w"],
    foreground: Float[Tensor, "b h w"],
    background: Float[Tensor, "b h w"] | None = None,
) -> list[Support]:
    """Return each shot's foreground features at every stride and, for PrototypeHSNet, its statistics.

    Args:
        images: normalised for the backbone.
        foreground: 1 where a pixel belongs to the class, in [0, 1].
        background: 1 where a pixel is known not to belong to the class; by default all that is not foreground.
    """
    taps = model.taps(images)
    masked = model.support_features(taps, foreground)
    statistics: list[SupportStatistics | None] = [None] * len(images)
    if isinstance(model, PrototypeHSNet):
        parts = model.statistics(taps, foreground, 1 - foreground if background is None else background)
        statistics = [SupportStatistics(*(part[shot] for part in parts)) for shot in range(len(images))]
    return [
        Support(
            {stride: SupportLevel.of([tap[shot] for tap in model.of_stride(masked, stride)]) for stride in STRIDES},
            statistics[shot],
        )
        for shot in range(len(images))
    ]


@torch.inference_mode()
def encode_query(model: HSNet | PrototypeHSNet, images: Float[Tensor, "b 3 h w"]) -> EncodedQuery:
    """Return the features of some queries; several classes can be compared with them in turn."""
    taps = model.taps(images)
    features = model.prototype_features(taps) if isinstance(model, PrototypeHSNet) else None
    for index, tap in enumerate(taps):
        taps[index] = unit(tap)  # frees one tap at a time
    return EncodedQuery(taps, features)


@torch.inference_mode()
def merge_supports(model: HSNet | PrototypeHSNet, supports: list[Support], like: Tensor) -> EncodedClass:
    """Return the shots of one class on the device and in the dtype of `like`, with their merged prototypes.

    Raises:
        ConceptError: no supports, or supports encoded with another backbone or model.
    """
    check_supports(model, supports)
    supports = [support.to(like) for support in supports]
    if not isinstance(model, PrototypeHSNet):
        return EncodedClass(supports, None)
    statistics = (support.statistics for support in supports if support.statistics is not None)
    stacked = SupportStatistics(*(torch.stack(parts) for parts in zip(*statistics, strict=True)))
    areas = torch.tensor([support.levels[STRIDES[0]].area for support in supports], device=like.device)
    return EncodedClass(supports, model.merge(stacked, areas, len(supports)))


@torch.inference_mode()
def segment(
    model: HSNet | PrototypeHSNet,
    query_images: Float[Tensor, "b 3 hq wq"],
    supports: list[Support],
    size: tuple[int, int] | None = None,
) -> Float[Tensor, "b t 2 ho wo"]:
    """Return the logits that the model's `forward` computes for these queries and supports.

    Args:
        query_images: normalised for the backbone.
        supports: shots of one class from `encode_support`, of any sizes and in any precision.
        size: height and width of the logits; by default those of the query.

    Raises:
        ConceptError: no supports, or supports encoded with another backbone or model.
    """
    query = encode_query(model, query_images)
    encoded = merge_supports(model, supports, query.units[0][:0])
    return segment_encoded(model, query, encoded, size or plane_size(query_images))


@torch.inference_mode()
def segment_encoded(
    model: HSNet | PrototypeHSNet, query: EncodedQuery, shots: EncodedClass, size: tuple[int, int]
) -> Float[Tensor, "b t 2 ho wo"]:
    """Return logits at `size` (height, width): a pair for each shot (HSNet) or one pair (PrototypeHSNet)."""
    logits = []
    for units, features in map(query.image, range(len(query.units[0]))):
        if isinstance(model, PrototypeHSNet):
            assert features is not None
            assert shots.prototypes is not None
            encoded = None
            if model.decodes(len(shots.supports)):
                encoded = torch.stack(relate_shots(model, units, shots.supports), dim=1)
            cosines = model.cosines(features, shots.prototypes)
            logits.append(model.decode(encoded, cosines, shots.prototypes, size))
        else:
            pairs = [model.decode(shot, size) for shot in relate_shots(model, units, shots.supports)]
            logits.append(torch.stack(pairs, dim=1))
    return torch.cat(logits)


def relate_shots(
    model: HypercorrelationEncoder, query: list[Float[Tensor, "1 _c _hq _wq"]], supports: list[Support]
) -> list[Float[Tensor, "1 c hq wq"]]:
    """Return the encoded query given each shot; on the CPU several shots run at a time, one thread each."""
    relate = partial(relate_shot, model, query)
    if query[0].device.type == "cpu":
        return one_thread_each(relate, supports)
    return [relate(support) for support in supports]


def relate_shot(
    model: HypercorrelationEncoder, query: list[Float[Tensor, "1 _c _hq _wq"]], support: Support
) -> Float[Tensor, "1 c hq wq"]:
    """Return what `HypercorrelationEncoder.relate` computes for one query and one shot, in the model's precision."""
    if not isinstance(model.squeeze8[0], CenterPivotConv4d):
        return model.relate(query, _dense_taps(model, support))
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


def _dense_taps(model: HypercorrelationEncoder, support: Support) -> list[Tensor]:
    """Return the support's feature maps in the order of the backbone's taps."""
    planes = {stride: iter(level.dense()) for stride, level in support.levels.items()}
    return [next(planes[stride]) for stride in model.strides]


def check_supports(model: HSNet | PrototypeHSNet, supports: list[Support]) -> None:
    """Raise a `ConceptError` unless there are supports and they were encoded with this backbone and kind of model."""
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
        if (support.statistics is not None) != isinstance(model, PrototypeHSNet):
            raise ConceptError(f"the support was not encoded by {type(model).__name__}; encode it again")
