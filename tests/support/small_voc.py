"""A recipe that trains on a small fake PASCAL VOC in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe
from support import fakes


def small(voc: Path, *overrides: str) -> Recipe:
    """Return panet-voc-small with six steps of two episodes at 64x64 pixels."""
    settings = (f"data.root={voc}", "data.size=64", "steps=6", "batch=2", "checkpoint_every=2", "workers=0")
    return load_recipe("panet-voc-small", ["model.learn=[blocks.5]", *settings, *overrides])


def paint_objects(voc: Path) -> Path:
    """Paint every object in the colour of its class, on noise, so that the classes can be learned."""
    for path in (voc / "VOC2012/SegmentationClassAug").glob("*.png"):
        labels = np.asarray(Image.open(path))
        image = fakes.noise(int(labels.sum()), *labels.shape)
        objects = (labels > 0) & (labels < 255)
        image[objects] = (12 * labels[objects, None].astype(int) * (1, 3, 7) % 256).astype(np.uint8)
        Image.fromarray(image).save(voc / "VOC2012/JPEGImages" / f"{path.stem}.jpg", quality=95)
    return voc
