"""Images for the tests of the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def discs(photos: Path) -> Path:
    """Three images of a red disc; the first with its mask beside it."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    for index, (row, column) in enumerate(((40, 40), (50, 80), (60, 60))):
        image = generator.integers(90, 130, (96, 128, 1), dtype=np.uint8).repeat(3, axis=2)
        mask = (rows - row) ** 2 + (columns - column) ** 2 < 22**2
        image[mask] = 220, 40, 40
        Image.fromarray(image).save(photos / f"disc{index}.jpg")
        if index == 0:
            Image.fromarray(mask).save(photos / "disc0.mask.png")
    return photos
