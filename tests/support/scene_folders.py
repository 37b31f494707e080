"""Small folders of labelled images whose colours determine the labels, and recipes that train on them in seconds."""

from pathlib import Path

import numpy as np

from likewise.train.recipes.load import load_recipe
from likewise.train.recipes.schema import Recipe
from support import fakes

COLOURS = np.array([(200, 60, 60), (60, 190, 80), (70, 80, 210)], np.uint8)
SMALL = (
    "model.backbone=lite0-stride8",
    "model.taps=[blocks.1.1, blocks.2.1]",
    "model.learn=[]",
    "model.channels=8",
    "model.detail=false",
    "data.keep_every=4",
    "data.side=null",
    "data.crop=48",
    "data.classes=[red, green, blue]",
    "steps=6",
    "batch=2",
    "precision=float32",
    "checkpoint_every=2",
    "validation.every=3",
    "workers=0",
)


def make_folder(root: Path, count: int = 8, classes: int = 3, size: tuple[int, int] = (50, 70)) -> Path:
    """Write images of vertical stripes, one for each class, in varying widths; some pixels are ignored."""
    for index in range(count):
        generator = np.random.default_rng(index)
        edges = np.sort(generator.integers(8, size[1] - 8, classes - 1))
        labels = np.broadcast_to(np.searchsorted(edges, np.arange(size[1])), size).astype(np.uint8)
        noise = generator.integers(-25, 26, (*size, 3))
        image = np.clip(COLOURS[labels].astype(int) + noise, 0, 255).astype(np.uint8)
        labels = labels.copy()
        labels[: 1 + index] = 255
        fakes.write_image(root / "images" / f"{index}.png", image)
        fakes.write_image(root / "labels" / f"{index}.png", labels)
    return root


def small(root: Path, *overrides: str, name: str = "mcibi") -> Recipe:
    """Return the recipe for a folder with a tiny network; `name` "fcn" selects the baseline."""
    own = ["model.attention_channels=8"] if name == "mcibi" else ["model.name=fcn", "model.convolutions=1"]
    recipe = "mcibi" if name == "mcibi" else "fcn-camvid"
    folder = ["data.set=folder"]
    return load_recipe(recipe, [*SMALL, *own, *folder, f"data.root={root}", *overrides])
