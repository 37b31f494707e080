"""Features resized to the size of labels, as far as sums over pixels need them, without ever being resized.

Resizing is linear, so three things at the size of the features do: their inner products with given vectors, which
resize as scalars; the inner products of neighbouring features, from which the norm of any resized feature follows; and
the pixels' weights, which go through the transposed resize (as in `ops.masked_average_pool`), so that a weighted sum of
resized features is one of the features themselves. No tensor of all channels at the size of the labels is made.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likewise.ops.features import resize_matrix


class ResizedFeatures:
    """What the features of one image, resized bilinearly (corners not aligned), are at the pixels of a label map.

    Args:
        size_in: of the features, height and width.
        size_out: of the labels.
        like: of the dtype and on the device of the features.
    """

    def __init__(self, size_in: tuple[int, int], size_out: tuple[int, int], *, like: Tensor) -> None:
        self.rows = resize_matrix(size_in[0], size_out[0], align_corners=False, like=like)
        self.columns = resize_matrix(size_in[1], size_out[1], align_corners=False, like=like)

    def squared_norm(self, features: Float[Tensor, "c h w"]) -> Float[Tensor, "hl wl"]:
        """The squared norm of every resized feature: a quadratic form in the inner products of four neighbours."""

        def inner(one: Tensor, other: Tensor) -> Tensor:
            return (one * other).sum(dim=0)  # einsum would move the channels first

        left, right = features[..., :-1], features[..., 1:]
        up, down = features[:, :-1], features[:, 1:]
        alone = self.columns.square().T
        pairs = (self.columns[:, :-1] * self.columns[:, 1:]).T
        same = inner(features, features) @ alone + 2 * inner(left, right) @ pairs
        across = inner(left[:, :-1], right[:, 1:]) + inner(right[:, :-1], left[:, 1:])
        between = inner(up, down) @ alone + across @ pairs
        return (self.rows.square() @ same + 2 * self.rows[:, :-1] * self.rows[:, 1:] @ between).clamp_min_(0)

    def at_pixels(self, planes: Float[Tensor, "row p"], row: Int[Tensor, "hl wl"]) -> Float[Tensor, "hl wl"]:
        """At each pixel, the resized plane that `row` names there."""
        found = torch.zeros_like(row, dtype=planes.dtype)
        for position, weight in self.corners():
            found.addcmul_(planes.flatten()[position.add_(row, alpha=planes.shape[1])], weight)
        return found

    def transposed(
        self, weight: Float[Tensor, "hl wl"], row: Int[Tensor, "hl wl"], rows: int
    ) -> Float[Tensor, "{rows} p"]:
        """The weights brought to the features by the transposed resize, each in the plane that `row` names."""
        positions = self.rows.shape[1] * self.columns.shape[1]
        planes = weight.new_zeros(rows * positions)
        for position, share in self.corners():
            planes.index_add_(0, position.add_(row, alpha=positions).flatten(), share.mul_(weight).flatten())
        return planes.view(rows, positions)

    def corners(self) -> Iterator[tuple[Int[Tensor, "hl wl"], Float[Tensor, "hl wl"]]]:
        """The four positions that each pixel lies between, one at a time, and their shares in it."""
        for y, share_y in _neighbours(self.rows):
            for x, share_x in _neighbours(self.columns):
                yield (y * self.columns.shape[1])[:, None] + x, share_y[:, None] * share_x


def _neighbours(matrix: Float[Tensor, "out in"]) -> list[tuple[Int[Tensor, " out"], Float[Tensor, " out"]]]:
    """The two inputs of each output of a resize, and their weights."""
    first = (matrix != 0).int().argmax(dim=1)
    second = (first + 1).clamp_max(matrix.shape[1] - 1)
    weight = matrix.gather(1, first[:, None])[:, 0]
    return [(first, weight), (second, 1 - weight)]
