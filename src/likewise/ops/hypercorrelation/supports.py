"""Encoded supports: the foreground features of each stride, packed into arrays to be saved. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from likewise.errors import ConceptError


@dataclass(frozen=True)
class SupportLevel:
    """Unit features of one support at one stride, at its `p` foreground positions only, tap by tap.

    `positions` are rows and columns in row-major order; `plane` is the height and width of the whole support plane.
    """

    features: tuple[Float[np.ndarray, "p _c"], ...]
    positions: Int[np.ndarray, "p 2"]
    plane: tuple[int, int]

    @classmethod
    def of(cls, taps: Sequence[Float[np.ndarray, "_c h w"]]) -> SupportLevel:
        """Keep the positions where any tap is nonzero; for an empty level, one position of zeros."""
        foreground = np.any([tap.any(axis=0) for tap in taps], axis=0)
        if not foreground.any():
            foreground[0, 0] = True
        features = tuple(np.ascontiguousarray(tap[:, foreground].T) for tap in taps)
        return cls(features, np.argwhere(foreground), (foreground.shape[0], foreground.shape[1]))


@dataclass(frozen=True)
class Support:
    """One encoded support: its foreground features by stride."""

    levels: dict[int, SupportLevel]


def check_supports(supports: Sequence[Support], channels: Mapping[int, Sequence[int]]) -> None:
    """Raise a `ConceptError` unless there are supports and they were encoded with this backbone.

    Args:
        channels: of the taps of each stride.
    """
    if not supports:
        raise ConceptError("no supports to segment with; encode at least one example first")
    own = [count for stride in channels for count in channels[stride]]
    for support in supports:
        found = [tap.shape[1] for level in support.levels.values() for tap in level.features]
        if found != own:
            raise ConceptError(
                f"the support has {len(found)} taps of {sum(found)} channels, the network has {len(own)} of "
                f"{sum(own)}: it was encoded with another backbone; encode it again"
            )


def pack_supports(supports: Sequence[Support]) -> dict[str, np.ndarray]:
    """Return encoded supports as half-precision arrays with one row for each, to be saved in a file.

    Supports have different numbers of positions: rows are padded with zeros, and their positions with -1.
    """
    rows: dict[str, np.ndarray] = {}
    for stride in supports[0].levels:
        levels = [support.levels[stride] for support in supports]
        rows[f"{stride}.plane"] = np.array([level.plane for level in levels], np.int32)
        rows[f"{stride}.positions"] = _pad([level.positions.astype(np.int16) for level in levels], -1)
        for tap, features in enumerate(zip(*(level.features for level in levels), strict=True)):
            rows[f"{stride}.features.{tap}"] = _pad([feature.astype(np.float16) for feature in features], 0)
    return rows


def _pad(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """Return arrays of unequal length as one, filled at their ends."""
    most = max(map(len, rows))
    return np.stack([np.pad(row, ((0, most - len(row)), (0, 0)), constant_values=fill) for row in rows])


def check_packed(rows: dict[str, np.ndarray], channels: Mapping[int, Sequence[int]], most: int) -> None:
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
        if (positions[padded] != -1).any():
            raise ValueError(f"a position at stride {stride} is negative")
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
    strides = sorted(int(name.removesuffix(".plane")) for name in rows if name.endswith(".plane"))
    count = len(rows[f"{strides[0]}.plane"])
    return [Support({stride: _unpack_level(rows, stride, index) for stride in strides}) for index in range(count)]


def _unpack_level(rows: dict[str, np.ndarray], stride: int, index: int) -> SupportLevel:
    taps = sum(name.startswith(f"{stride}.features.") for name in rows)
    positions = rows[f"{stride}.positions"][index].astype(np.int64)
    count = int((positions[:, 0] >= 0).sum())
    features = tuple(rows[f"{stride}.features.{tap}"][index, :count] for tap in range(taps))
    height, width = rows[f"{stride}.plane"][index].tolist()
    return SupportLevel(features, positions[:count], (height, width))
