"""Images and a model for the tests of jobs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from likewise import FewShot
from likewise.io.paths import ImageFile, find_images
from support.fakes import noise


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


@pytest.fixture(scope="module")
def few_shot() -> FewShot:
    return FewShot("panet-lite0", side=96, device="cpu")


@pytest.fixture
def cats(photos: Path) -> Path:
    """Two images, the first with a mask beside it."""
    for index in range(2):
        Image.fromarray(noise(index)).save(photos / f"{index}.png")
    mask = np.zeros((60, 80), bool)
    mask[10:40, 20:60] = True
    Image.fromarray(mask).save(photos / "0.mask.png")
    return photos
