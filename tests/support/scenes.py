"""Images of one object, with masks."""

import numpy as np


def scene(size=(120, 160), at=(30, 40), colour=(220, 40, 40), seed=0) -> tuple[np.ndarray, np.ndarray]:
    """A coloured disc on a noisy grey ground, and its mask."""
    generator = np.random.default_rng(seed)
    image = generator.integers(90, 130, (*size, 1), dtype=np.uint8).repeat(3, axis=2)
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = (rows - at[0] - 25) ** 2 + (columns - at[1] - 25) ** 2 < 25**2
    image[mask] = colour
    return image, mask
