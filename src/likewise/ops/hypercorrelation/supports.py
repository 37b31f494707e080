"""What examples show, learned once: unit features under the mask, and of what is outside no more than statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from likewise.ops.prototypes import Shown


@dataclass(frozen=True)
class SupportLevel:
    """What one example shows at one stride: the unit features of its foreground positions, and of no others.

    Attributes:
        features: for each tap, those of the `p` positions.
        positions: row and column of each position, in row-major order.
        plane: height and width of the whole support plane.
    """

    features: tuple[Float[Tensor, "p _c"], ...]
    positions: Int[Tensor, "p 2"]
    plane: tuple[int, int]

    @classmethod
    def of(cls, taps: list[Float[Tensor, "_c h w"]]) -> SupportLevel:
        """The positions where any tap is other than zero; of an empty level, one position of zeros."""
        seen = torch.stack([tap.any(dim=0) for tap in taps]).any(dim=0)
        if not seen.any():
            seen[0, 0] = True
        features = tuple(tap[:, seen].T.contiguous() for tap in taps)
        return cls(features, seen.nonzero(), (seen.shape[0], seen.shape[1]))

    @property
    def area(self) -> float:
        """The share of the plane's positions that are foreground, in (0, 1]."""
        return len(self.positions) / (self.plane[0] * self.plane[1])

    def dense(self) -> list[Float[Tensor, "1 _c h w"]]:
        """The whole planes, zero where there is no foreground."""
        rows, columns = self.positions.unbind(dim=1)
        planes = []
        for features in self.features:
            plane = features.new_zeros(features.shape[1], *self.plane)
            plane[:, rows, columns] = features.T
            planes.append(plane[None])
        return planes

    def to(self, like: Tensor) -> SupportLevel:
        """On the device and in the precision of `like`."""
        features = tuple(tap.to(like) for tap in self.features)
        return SupportLevel(features, self.positions.to(like.device), self.plane)


@dataclass(frozen=True)
class Support:
    """What one example shows.

    Attributes:
        levels: by stride.
        shown: what its background and its foreground say to prototypes; of no channels where the model compares none.
    """

    levels: dict[int, SupportLevel]
    shown: Shown

    def to(self, like: Tensor) -> Support:
        """On the device and in the precision of `like`, but for what the spread is made of: in single precision."""
        means, *sums = self.shown
        shown = Shown(means.to(like), *(part.to(like.device, torch.float32) for part in sums))
        return Support({stride: level.to(like) for stride, level in self.levels.items()}, shown)


def stacked(supports: list[Support]) -> dict[str, Tensor]:
    """Learned examples as tensors with one row for each, in half precision, to be kept in a file.

    Examples hold different numbers of positions: rows are padded with zeros, and their positions with -1.
    """
    parts = {name: [getattr(support.shown, name) for support in supports] for name in Shown._fields}
    rows = {name: torch.stack([part.cpu().half() for part in of_each]) for name, of_each in parts.items()}
    for stride in supports[0].levels:
        levels = [support.levels[stride] for support in supports]
        rows[f"{stride}.plane"] = torch.tensor([level.plane for level in levels], dtype=torch.int32)
        positions = [level.positions.cpu().to(torch.int16) for level in levels]
        rows[f"{stride}.positions"] = pad_sequence(positions, batch_first=True, padding_value=-1)
        for tap, features in enumerate(zip(*(level.features for level in levels), strict=True)):
            halves = [feature.cpu().half() for feature in features]
            rows[f"{stride}.features.{tap}"] = pad_sequence(halves, batch_first=True)
    return rows


def check_stacked(rows: dict[str, Tensor]) -> None:
    """Raise a `ValueError` for rows that `stacked` cannot have made: they would ask for any amount of memory."""
    for name, planes in rows.items():
        stride, _, what = name.partition(".")
        if what != "plane":
            continue
        positions = rows.get(f"{stride}.positions", torch.zeros(0, 0, 2))
        counts = (positions[..., 0] >= 0).sum(dim=1)
        lengths = [len(taps[0]) for each, taps in rows.items() if each.startswith(f"{stride}.features.")]
        if len(positions) != len(planes) or not len(planes) or (counts < 1).any():
            raise ValueError(f"an example has no positions at stride {stride}")
        if (positions >= planes[:, None]).any():
            raise ValueError(f"a position at stride {stride} lies outside its image")
        if not lengths or min(lengths) < counts.max():
            raise ValueError(f"features at stride {stride} are fewer than their positions")


def unstacked(rows: dict[str, Tensor]) -> list[Support]:
    """The examples that `stacked` was given, their features in half precision."""
    strides = sorted(int(name.removesuffix(".plane")) for name in rows if name.endswith(".plane"))
    supports = [Support({}, Shown(*parts)) for parts in zip(*(rows[name] for name in Shown._fields), strict=True)]
    for stride in strides:
        taps = sum(name.startswith(f"{stride}.features.") for name in rows)
        for example, support in enumerate(supports):
            positions = rows[f"{stride}.positions"][example].long()
            count = int((positions[:, 0] >= 0).sum())
            features = tuple(rows[f"{stride}.features.{tap}"][example, :count] for tap in range(taps))
            height, width = rows[f"{stride}.plane"][example].tolist()
            support.levels[stride] = SupportLevel(features, positions[:count], (height, width))
    return supports
