"""Generated annotated images."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from likewise.io.annotations import AnnotatedImage, Annotations, Object
from likewise.io.annotations.shapes import encode

CLASSES = ("cat", "Hündin ☃", "../x")


def annotated(folder: Path, seed: int, count: int = 4, *, images: str = "", overlapping: bool = False) -> Annotations:
    """Write images to `folder`/`images`, with 0, 1, ... objects: random blobs with holes and parts, of 3 classes."""
    generator = np.random.default_rng(seed)
    found = []
    for index in range(count):
        height, width = map(int, generator.integers(20, 60, 2))
        name = f"{'sub/' * (index % 2)}ü {index // 2}.png"  # the same in both folders
        path = folder / images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
        free, objects = np.ones((height, width), bool), []
        for number in range(index):
            noise = generator.random((height, width))
            mask = (ndimage.gaussian_filter(noise, generator.choice([1.0, 2.0])) > 0.52) & (free | overlapping)
            free &= ~mask
            if mask.any():
                objects.append(Object(CLASSES[number % 3], encode(mask), round(float(generator.random()), 3)))
        found.append(AnnotatedImage(name, tuple(objects), path, (height, width)))
    return Annotations(found, CLASSES, "generated")
