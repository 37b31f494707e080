"""CCP and VOC as scenes, and the cached features of a frozen backbone at stride 8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES, Tap
from likewise.data.pascal import pascal5i
from likewise.data.scenes import Scene, pair_by_stem
from likewise.io.class_lists import PASCAL
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.weights.imagenet import load_backbone

TAPS = ("blocks.2.1", "blocks.4.2", "blocks.5.0")
CHANNELS = 40 + 112 + 192


@dataclass(frozen=True)
class Parts:
    """A data set in three parts: training, selection (every fifth of the other training images) and test.

    `rare` are the half of the trained classes with the fewest training pixels.
    """

    name: str
    classes: tuple[str, ...]
    train: list[Scene]
    selection: list[Scene]
    test: list[Scene]
    cache: Path

    def labels(self, scene: Scene) -> np.ndarray:
        found = read_labels(scene.labels)
        return np.where(found < len(self.classes), found, IGNORE)

    def rare(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which classes are rare, and the training pixels of each class."""
        pixels = sum(np.bincount(self.labels(scene).ravel(), minlength=256) for scene in self.train)
        assert isinstance(pixels, np.ndarray)
        pixels = pixels[: len(self.classes)]
        return (pixels > 0) & (pixels <= np.median(pixels[pixels > 0])), pixels

    def features(self, scene: Scene) -> np.ndarray:
        """Return the cached features of an image, half precision, (c, h, w)."""
        return np.load(self.cache / f"{scene.image.stem}.npy")

    def fill_cache(self) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        missing = [
            scene
            for scene in [*self.train, *self.selection, *self.test]
            if not (self.cache / f"{scene.image.stem}.npy").is_file()
        ]
        if missing:
            backbone = load_backbone(BACKBONES["lite0-stride8"].with_taps(*TAPS), weights=None, frozen=True).eval()
        for scene in missing:
            with torch.inference_mode():
                image = torch.from_numpy(read_image(scene.image))[None]
                levels = torch.cat(backbone(backbone.normalise(image)), dim=1)[0]
            part = self.cache / f"{scene.image.stem}.part"
            with part.open("wb") as file:
                np.save(file, levels.half().numpy())
            part.rename(self.cache / f"{scene.image.stem}.npy")


def open_parts(name: str, data: Path, cache: Path) -> Parts:
    """Return "ccp" (test: the last quarter of the photographs) or "voc" (test: the val images of PASCAL-5i's lists)."""
    if name == "ccp":
        scenes = [Scene(*pair) for pair in pair_by_stem(data / "CCP/photos", data / "CCP/labels")]
        last = len(scenes) - len(scenes) // 4
        rest, test = scenes[:last], scenes[last:]
        classes = ("background", *(f"label {index}" for index in range(1, 59)))
    else:
        home = data / "VOC2012"
        scenes = [Scene(*pair) for pair in pair_by_stem(home / "JPEGImages", home / "SegmentationClassAug")]
        val = {entry.image for fold in range(4) for entry in pascal5i(data, fold).entries}
        test = [scene for scene in scenes if scene.image.stem in val]
        rest = [scene for scene in scenes if scene.image.stem not in val]
        classes = ("background", *PASCAL)
    train = [scene for index, scene in enumerate(rest) if index % 5 != 4]
    return Parts(name, classes, train, rest[4::5], test, cache / f"scenes-{name}")


class CachedTap(nn.Module):
    """A stand-in for the backbone whose images are cached features; the features are standardised."""

    taps = (Tap("cached", 8, CHANNELS),)

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(CHANNELS, affine=False)

    def forward(self, features: Tensor) -> list[Tensor]:
        return [self.norm(features)]


def crop(features: np.ndarray, labels: np.ndarray, side: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return `side` x `side` positions of the features and the labels at half their stride, padded and mirrored."""
    _, height, width = features.shape
    nearest = F.interpolate(torch.from_numpy(labels)[None, None].float(), (2 * height, 2 * width)).byte()[0, 0]
    values = torch.from_numpy(features)
    below, right = max(0, side - height), max(0, side - width)
    values = F.pad(values, (0, right, 0, below))
    nearest = F.pad(nearest, (0, 2 * right, 0, 2 * below), value=IGNORE)
    top = int(generator.integers(values.shape[1] - side + 1))
    left = int(generator.integers(values.shape[2] - side + 1))
    values = values[:, top : top + side, left : left + side]
    nearest = nearest[2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
    if generator.random() < 0.5:
        values, nearest = values.flip(2), nearest.flip(1)
    return values, nearest
