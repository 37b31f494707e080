"""Images for the tests of jobs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise.io.paths import ImageFile, find_images


@pytest.fixture
def seven(photos: Path) -> list[ImageFile]:
    """Seven images of different sizes, the upper half of each bright."""
    for index in range(7):
        array = np.zeros((10 + index, 14, 3), dtype=np.uint8)
        array[: 5 + index // 2] = 255
        path = photos / ("sub" if index % 2 else "") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(array).save(path)
    return find_images([photos])
