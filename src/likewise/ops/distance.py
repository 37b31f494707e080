"""Distances on a grid, exact and by numpy alone."""

import numpy as np
from jaxtyping import Bool, Float32


def distance_to(mask: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the Euclidean distance of each position to the nearest true one, in positions; `h + w` if none is.

    Time and memory grow as `h w²`, so it is for coarse grids.
    """
    height, width = mask.shape
    down = np.where(mask, np.float32(0), np.float32(height + width))
    for rows in (range(1, height), range(height - 2, -1, -1)):
        for row in rows:
            before = row - 1 if rows.step > 0 else row + 1
            np.minimum(down[row], down[before] + 1, out=down[row])
    across = np.square(np.arange(width, dtype=np.float32)[:, None] - np.arange(width, dtype=np.float32))
    squares = np.stack([(row + across).min(axis=1) for row in np.square(down)])
    return np.sqrt(np.minimum(squares, np.float32((height + width) ** 2)))
