"""A concept baked into a graph: one image of any size in, probabilities at its size out, in one file.

    image --> input size (`Inputs.size`) --> taps --> prototypes' odds, or PANet's cosines --> probabilities

The steps after the taps are those of `likewise.ops.prototypes` and `likewise.predict.heads.prototypes`, as tensors;
`likewise.export.check` compares them. Presence is not judged, and outlines are not refined to image edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from likewise.export.graphs import exportable
from likewise.ops.discriminant import MISFIT_POSITIONS, Discriminant, LearnedClass
from likewise.ops.features import concat_levels, resize
from likewise.ops.prototypes import (
    CONFIDENCE_THRESHOLDS,
    COSINE_SCALE,
    MIN_CONFIDENT_POSITIONS,
    NEW_SCENE_DISTANCE,
)
from likewise.predict.few_shot import FewShot
from likewise.predict.heads.features import FeatureHead
from likewise.predict.heads.panet import PANetHead


class ConceptGraph(nn.Module):
    """Probabilities of background and classes.

    Args:
        few_shot: on torch, with a `PrototypesHead` or a `PANetHead`.
        backbone: of the same model, batch norm not folded.
        prepared: the method's own part of what the head's `prepare` returns for the concept.
    """

    def __init__(self, few_shot: FewShot, backbone: Any, prepared: Any) -> None:
        super().__init__()
        self.backbone = exportable(backbone)
        head = few_shot.head
        assert isinstance(head, FeatureHead)
        self.side, self.multiple, self.smallest = few_shot.side, head.multiple, head.smallest
        self.panet = isinstance(head, PANetHead)
        self.align_corners = head.align_corners
        ways = [Cosines(prepared, head.scale)] if isinstance(head, PANetHead) else [Odds(way) for way in prepared]
        self.ways = nn.ModuleList(ways)

    def forward(self, images: UInt8[Tensor, "1 h w 3"]) -> Float[Tensor, "1 k h w"]:
        height, width = images.shape[1], images.shape[2]
        planes = images.permute(0, 3, 1, 2)
        # height and width are tensors while the exporter traces, and numbers otherwise
        resized = F.interpolate(planes, self.input_size(height, width), mode="bilinear", antialias=True)
        levels = self.backbone(self.backbone.normalise(resized.permute(0, 2, 3, 1)))
        features = concat_levels(levels, align_corners=self.align_corners)
        logits = torch.cat([way(features[0]) for way in self.ways])[None]
        logits = resize(logits, (height, width), align_corners=self.align_corners)
        if self.panet:
            return logits.softmax(dim=1)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1).softmax(dim=1)

    def input_size(self, height: Any, width: Any) -> tuple[Any, Any]:
        """Return `Inputs.size`, in operations that the exporter can follow."""
        multiple, smallest = self.multiple, self.smallest
        longest = max(smallest, self.side**2 // smallest // multiple * multiple)
        lengths = [torch.as_tensor(length).double() for length in (height, width)]
        scale = self.side / (lengths[0] * lengths[1]) ** 0.5
        sides = [(length * scale / multiple).round() * multiple for length in lengths]
        down, across = (side.clamp(smallest, longest).long() for side in sides)
        return down, across


class Odds(nn.Module):
    """`likewise.ops.discriminant.class_odds`."""

    means: Tensor
    whitening: Tensor | None
    shots: int

    def __init__(self, learned: LearnedClass) -> None:
        super().__init__()
        prototypes, whitening = learned.prototypes, learned.prototypes.whitening
        self.register_buffer("means", torch.from_numpy(np.float32(prototypes.means)))
        self.register_buffer("whitening", None if whitening is None else torch.from_numpy(np.float32(whitening)))
        self.shots = prototypes.shots
        self.discriminant = None if learned.discriminant is None else DiscriminantOdds(learned.discriminant)

    def forward(self, features: Float[Tensor, "c h w"]) -> Float[Tensor, "1 h w"]:
        flat = features.flatten(1)
        further = 0.0 if self.discriminant is None else self.discriminant(flat)
        if self.whitening is not None:
            flat = self.whitening @ flat
        adapted = self.self_support(flat, cosine(self.means, flat))
        background, foreground = (COSINE_SCALE * cosine(adapted, flat)).unbind()
        return (foreground - background + further).reshape(1, *features.shape[1:])

    def self_support(self, query: Float[Tensor, "c p"], cosines: Float[Tensor, "2 p"]) -> Float[Tensor, "2 c"]:
        """Return `self_support_prototypes`; products of 0 and 1 choose, since ONNX Runtime has no `Where` for bools."""
        foreground = (COSINE_SCALE * (cosines[1] - cosines[0])).sigmoid()
        probabilities = torch.stack([1 - foreground, foreground])
        confident = (probabilities > torch.tensor(CONFIDENCE_THRESHOLDS)[:, None]).float()
        kth = probabilities.topk(MIN_CONFIDENT_POSITIONS, dim=1).values[:, -1:]
        some = confident.amax(dim=1, keepdim=True)
        confident = some * confident + (1 - some) * (probabilities >= kth).float()
        own = confident @ query.T / confident.sum(dim=1, keepdim=True)
        distance = 1 - cosine(self.means[:1], own[0][:, None])[0, 0]
        weight = ((distance / NEW_SCENE_DISTANCE) ** 2).clamp(max=1)
        return (self.shots**2 * self.means + weight * own) / (self.shots**2 + weight)


class DiscriminantOdds(nn.Module):
    """`likewise.ops.discriminant.discriminant_odds`."""

    direction: Tensor
    means: Tensor
    precision: Tensor

    def __init__(self, learned: Discriminant) -> None:
        super().__init__()
        for name in ("direction", "means", "precision"):
            self.register_buffer(name, torch.from_numpy(getattr(learned, name)))
        self.constant, self.spread = learned.constant, learned.spread

    def forward(self, flat: Float[Tensor, "c p"]) -> Float[Tensor, " p"]:
        unit = flat / flat.norm(dim=0).clamp_min(1e-12)
        step: Any = -(-torch.as_tensor(unit.shape[1]) // MISFIT_POSITIONS)  # the exporter follows a tensor only
        some = unit[:, torch.arange(0, unit.shape[1], step)]
        squares = (some * (self.precision @ some)).sum(dim=0)
        towards = self.means @ self.precision
        distances = squares - 2 * towards @ some + (towards * self.means).sum(dim=1)[:, None]
        misfit = (distances.amin(dim=0).mean() / self.spread).clamp_min(1)
        return (self.direction @ unit + self.constant) / misfit


class Cosines(nn.Module):
    """PANet's logits of background and classes."""

    prototypes: Tensor

    def __init__(self, prototypes: np.ndarray, scale: float) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.from_numpy(np.float32(prototypes)))
        self.scale = scale

    def forward(self, features: Float[Tensor, "c h w"]) -> Float[Tensor, "k h w"]:
        logits = self.scale * cosine(self.prototypes, features.flatten(1))
        return logits.reshape(-1, *features.shape[1:])


def cosine(vectors: Float[Tensor, "k c"], features: Float[Tensor, "c p"]) -> Float[Tensor, "k p"]:
    """Return `likewise.ops.prototypes.cosine`."""
    norms = vectors.norm(dim=1, keepdim=True).clamp_min(1e-8)
    return vectors @ features / norms / features.norm(dim=0).clamp_min(1e-8)
