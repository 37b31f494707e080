"""Sums over features resized to the labels, computed at the size of the features.

Resizing is linear, so three quantities at the size of the features suffice: inner products with given vectors, which
are resized as scalars; inner products of neighbouring features, which give the norm of every resized feature; and pixel
weights after the transposed resize, which turn a weighted sum of resized features into one of the features. No tensor
with all channels at the size of the labels exists.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likewise.ops.features import resize_matrix


class ResizedFeatures:
    """The features of one image as if resized to a label map, bilinear and with corners not aligned."""

    def __init__(self, size_in: tuple[int, int], size_out: tuple[int, int], *, like: Tensor) -> None:
        self.rows = resize_matrix(size_in[0], size_out[0], align_corners=False, like=like)
        self.columns = resize_matrix(size_in[1], size_out[1], align_corners=False, like=like)

    def squared_norm(self, features: Float[Tensor, "c h w"]) -> Float[Tensor, "hl wl"]:
        """Return the squared norm of every resized feature: a quadratic form in inner products of four neighbours."""

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
        """Return at each pixel the resized value of the plane whose index is in `row`."""
        found = torch.zeros_like(row, dtype=planes.dtype)
        for position, weight in self.corners():
            found.addcmul_(planes.flatten()[position.add_(row, alpha=planes.shape[1])], weight)
        return found

    def transposed(
        self, weight: Float[Tensor, "hl wl"], row: Int[Tensor, "hl wl"], rows: int
    ) -> Float[Tensor, "{rows} p"]:
        """Return the pixel weights after the transposed resize, each added to the plane whose index is in `row`."""
        positions = self.rows.shape[1] * self.columns.shape[1]
        planes = weight.new_zeros(rows * positions)
        for position, share in self.corners():
            planes.index_add_(0, position.add_(row, alpha=positions).flatten(), share.mul_(weight).flatten())
        return planes.view(rows, positions)

    def corners(self) -> Iterator[tuple[Int[Tensor, "hl wl"], Float[Tensor, "hl wl"]]]:
        """Yield the four positions around each pixel, one at a time, with their interpolation weights."""
        for y, share_y in _neighbours(self.rows):
            for x, share_x in _neighbours(self.columns):
                yield (y * self.columns.shape[1])[:, None] + x, share_y[:, None] * share_x


def _neighbours(matrix: Float[Tensor, "out in"]) -> list[tuple[Int[Tensor, " out"], Float[Tensor, " out"]]]:
    """Return the two inputs of each output of a resize, and their weights."""
    first = (matrix != 0).int().argmax(dim=1)
    second = (first + 1).clamp_max(matrix.shape[1] - 1)
    weight = matrix.gather(1, first[:, None])[:, 0]
    return [(first, weight), (second, 1 - weight)]
