"""Encoded supports: the foreground features of each stride, packed into arrays to be saved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class SupportLevel:
    """Unit features of one support at one stride, at its `p` foreground positions only, tap by tap.

    `positions` are rows and columns in row-major order; `plane` is the height and width of the whole support plane.
    """

    features: tuple[Float[Tensor, "p _c"], ...]
    positions: Int[Tensor, "p 2"]
    plane: tuple[int, int]

    @classmethod
    def of(cls, taps: list[Float[Tensor, "_c h w"]]) -> SupportLevel:
        """Keep the positions where any tap is nonzero; for an empty level, one position of zeros."""
        foreground = torch.stack([tap.any(dim=0) for tap in taps]).any(dim=0)
        if not foreground.any():
            foreground[0, 0] = True
        features = tuple(tap[:, foreground].T.contiguous() for tap in taps)
        return cls(features, foreground.nonzero(), (foreground.shape[0], foreground.shape[1]))

    def to(self, like: Tensor) -> SupportLevel:
        """Move to the device and dtype of `like`."""
        features = tuple(tap.to(like) for tap in self.features)
        return SupportLevel(features, self.positions.to(like.device), self.plane)


@dataclass(frozen=True)
class Support:
    """One encoded support: its foreground features by stride."""

    levels: dict[int, SupportLevel]

    def to(self, like: Tensor) -> Support:
        return Support({stride: level.to(like) for stride, level in self.levels.items()})


def pack_supports(supports: list[Support]) -> dict[str, np.ndarray]:
    """Return encoded supports as half-precision arrays with one row for each, to be saved in a file.

    Supports have different numbers of positions: rows are padded with zeros, and their positions with -1.
    """
    rows: dict[str, Tensor] = {}
    for stride in supports[0].levels:
        levels = [support.levels[stride] for support in supports]
        rows[f"{stride}.plane"] = torch.tensor([level.plane for level in levels], dtype=torch.int32)
        positions = [level.positions.cpu().to(torch.int16) for level in levels]
        rows[f"{stride}.positions"] = pad_sequence(positions, batch_first=True, padding_value=-1)
        for tap, features in enumerate(zip(*(level.features for level in levels), strict=True)):
            halves = [feature.cpu().half() for feature in features]
            rows[f"{stride}.features.{tap}"] = pad_sequence(halves, batch_first=True)
    return {name: tensor.numpy() for name, tensor in rows.items()}


def check_packed(rows: dict[str, np.ndarray], channels: dict[int, list[int]], most: int) -> None:
    """Raise a `ValueError` for rows that `pack_supports` cannot have made.

    Positions outside the plane would otherwise make `segment` allocate any amount of memory.
    """
    needed = {f"{stride}.{kind}": 0 for stride in channels for kind in ("plane", "positions")}
    needed |= {f"{stride}.features.{tap}": own for stride in channels for tap, own in enumerate(channels[stride])}
    if rows.keys() != needed.keys():
        raise ValueError(f"it has other rows than its model: {', '.join(sorted(rows.keys() ^ needed.keys())[:3])}")
    for stride in channels:
        planes, positions = rows[f"{stride}.plane"], rows[f"{stride}.positions"]
        if planes.shape[1:] != (2,) or positions.ndim != 3 or positions.shape[2] != 2:
            raise ValueError(f"planes and positions at stride {stride} are {planes.shape} and {positions.shape}")
        if planes.dtype.kind != "i" or positions.dtype.kind != "i":
            raise ValueError(f"planes or positions at stride {stride} are not whole numbers")
        areas = planes.astype(np.float64).prod(axis=1)
        if (planes < 1).any() or (areas * stride**2 > most).any():
            raise ValueError(f"a plane at stride {stride} is empty or too large")
        inside = (positions >= 0).all(axis=2)
        counts = inside.sum(axis=1)
        if not counts.all():
            raise ValueError(f"an example has no positions at stride {stride}")
        if (positions >= planes[:, None]).any():
            raise ValueError(f"a position at stride {stride} lies outside its image")
        padded = np.arange(positions.shape[1]) >= counts[:, None]
        flat = positions[..., 0].astype(np.int64) * planes[:, 1:] + positions[..., 1]
        if (inside == padded).any() or ((np.diff(flat, axis=1) < 1) & ~padded[:, 1:]).any():
            raise ValueError(f"positions at stride {stride} are not in order")
        for tap, own in enumerate(channels[stride]):
            features = rows[f"{stride}.features.{tap}"]
            if features.ndim != 3 or features.dtype.kind != "f" or features.shape[2] != own:
                raise ValueError(f"features {tap} at stride {stride} are {features.dtype} {features.shape}")
            if features.shape[1] < counts.max():
                raise ValueError(f"stride {stride} has fewer features than positions")


def unpack_supports(rows: dict[str, np.ndarray]) -> list[Support]:
    """Return the supports that `pack_supports` was given, their features in half precision."""
    tensors = {name: torch.from_numpy(values) for name, values in rows.items()}
    strides = sorted(int(name.removesuffix(".plane")) for name in tensors if name.endswith(".plane"))
    count = len(tensors[f"{strides[0]}.plane"])
    return [Support({stride: _unpack_level(tensors, stride, index) for stride in strides}) for index in range(count)]


def _unpack_level(rows: dict[str, Tensor], stride: int, index: int) -> SupportLevel:
    taps = sum(name.startswith(f"{stride}.features.") for name in rows)
    positions = rows[f"{stride}.positions"][index].long()
    count = int((positions[:, 0] >= 0).sum())
    features = tuple(rows[f"{stride}.features.{tap}"][index, :count] for tap in range(taps))
    height, width = rows[f"{stride}.plane"][index].tolist()
    return SupportLevel(features, positions[:count], (height, width))
