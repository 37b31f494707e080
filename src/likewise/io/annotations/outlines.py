"""Masks to polygons: outlines along pixel edges, simplified to a tolerance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from likewise.io.annotations.dataset import AnnotatedImage, Object
from likewise.io.annotations.shapes import Polygons, Ring, bounds
from likewise.io.components import label_pieces

TOLERANCE = 1.0
"""Default distance in pixels by which a simplified outline may leave the mask's edge: the least that makes a straight
line of the steps of any slope."""


def outline(mask: Bool[np.ndarray, "h w"], tolerance: float = TOLERANCE) -> Polygons:
    """Return the outlines of a mask, with holes. Pixels that touch only at a corner belong to different parts.

    With a tolerance of 0 the polygons have exactly the mask's pixels.
    """
    left, top, right, bottom = bounds(mask)
    pieces = label_pieces(mask[top:bottom, left:right], diagonal=False)
    parts: dict[int, list[Ring]] = {}
    for piece, ring in _rings(pieces):
        parts.setdefault(piece, []).append(ring + np.array((left, top)))
    found = []
    for rings in parts.values():
        rings.sort(key=area, reverse=True)  # the outer ring runs clockwise on the screen, holes the other way
        found.append(tuple(simplify(ring, tolerance) for ring in rings))
    return Polygons(tuple(found))


def polygons_of(image: AnnotatedImage, one: Object, tolerance: float) -> Polygons:
    """Return the polygons of an object; of another shape, the `outline` of its mask."""
    return one.shape if isinstance(one.shape, Polygons) else outline(image.mask_of(one), tolerance)


def area(ring: Ring) -> float:
    """Return the area of a ring, negative if it runs anticlockwise on the screen."""
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def simplify(ring: Ring, tolerance: float) -> Ring:
    """Return the ring with fewer corners (Douglas and Peucker, 1973); unchanged if it would lose its area.

    No removed corner is farther than `tolerance` pixels from the new line.
    """
    if not tolerance or len(ring) < 5:
        return ring
    far = int(np.hypot(*(ring - ring[0]).T).argmax())
    kept = {0, far}
    closed = np.concatenate([ring, ring[:1]])
    spans = [(0, far), (far, len(ring))]
    while spans:
        first, last = spans.pop()
        line = closed[last] - closed[first]
        length = float(line @ line)
        points = closed[first + 1 : last] - closed[first]
        if not len(points):
            continue
        # of the line between its ends: an outline may turn back beyond them
        share = (points @ line / length).clip(0, 1) if length else np.zeros(len(points))
        away = np.hypot(*(points - share[:, None] * line).T)
        middle = first + 1 + int(away.argmax())
        if away.max() > tolerance:
            kept.add(middle)
            spans += [(first, middle), (middle, last)]
    found = ring[sorted(kept)]
    return found if len(found) > 2 and area(found) * area(ring) > 0 else ring


def join(polygons: Polygons) -> Ring:
    """Return one ring with the area of all parts and holes, connected by lines without width."""
    rings = sorted((ring for rings in polygons.parts for ring in rings), key=lambda ring: -abs(area(ring)))
    joined, *others = rings
    for ring in others:
        away = ((joined[:, None] - ring) ** 2).sum(axis=2)
        at, near = np.unravel_index(away.argmin(), away.shape)
        detour = np.roll(ring, -int(near), axis=0)
        joined = np.concatenate([joined[: at + 1], detour, detour[:1], joined[at:]])
    return joined


def single_ring(polygons: Polygons) -> Ring | None:
    """Return the ring of an object in one part without holes, else None."""
    return polygons.parts[0][0] if len(polygons.parts) == 1 and len(polygons.parts[0]) == 1 else None


def _rings(pieces: np.ndarray) -> list[tuple[int, Ring]]:
    """Return the number of the piece and the corners of each closed line of pixel edges, the piece on its right."""
    inside = np.pad(pieces > 0, 1)
    below, above = inside[1:, 1:], inside[:-1, 1:]  # the pixels around a corner of the grid: right of it,
    left, corner = inside[1:, :-1], inside[:-1, :-1]  # and left of it
    # whether a line starts at a corner and leads to the right, down, to the left, up
    edges = np.stack([below & ~above, left & ~below, corner & ~left, above & ~corner])
    numbers = np.flatnonzero(edges)
    direction, row, column = np.unravel_index(numbers, edges.shape)
    end = row + np.array([0, 1, 0, -1])[direction], column + np.array([1, 0, -1, 0])[direction]
    # a line turns right where it can, to stay with its own pixel where two touch at a corner
    right, ahead = (direction + 1) % 4, edges[(direction, *end)]
    turned = np.where(edges[(right, *end)], right, np.where(ahead, direction, (direction + 3) % 4))
    following = np.searchsorted(numbers, np.ravel_multi_index((turned, *end), edges.shape)).tolist()
    corners = np.stack([end[1], end[0]], axis=1).astype(np.float64)
    piece = pieces[row - (direction > 1), column - ((direction == 1) | (direction == 2))]
    rings, seen = [], np.zeros(len(numbers), bool)
    for first in range(len(numbers)):
        if seen[first]:
            continue
        line = [first]
        while (last := following[line[-1]]) != first:
            line.append(last)
        seen[line] = True
        rings.append((int(piece[first]), corners[line][turned[line] != direction[line]]))
    return rings
