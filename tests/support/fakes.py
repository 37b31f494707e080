"""Small generated data sets with the folder structure of the real downloads."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_flat(path: Path, value: int = 200, size: tuple[int, int] = (12, 8)) -> Path:
    """Write a small image of one grey (`size` is width and height) in the format of the suffix; give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode, colour = ("P", value) if path.suffix == ".gif" else ("RGB", (value,) * 3)
    Image.new(mode, size, colour).save(path)
    return path


def noise(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def block(value: int, seed: int, height: int = 60, width: int = 80, border: int = 255) -> np.ndarray:
    """A label map with a 45x50 block (height x width, 2250 pixels) of `value` and a line of `border` around it."""
    labels = np.zeros((height, width), np.uint8)
    top, left = 2 + seed % (height - 50), 2 + seed % (width - 55)
    labels[top - 1 : top + 46, left - 1 : left + 51] = border
    labels[top : top + 45, left : left + 50] = value
    return labels


def make_voc(root: Path, per_class: int = 4, lists: bool = True) -> Path:
    """VOC 2012 with SBD masks, `per_class` images of each of the 20 classes, the last of each a test image.

    With lists, each is named in `splits/pascal`; every first image of class c also shows class c + 5 in its list.
    """
    listed: dict[tuple[str, int], list[str]] = {(s, f): [] for s in ("trn", "val") for f in range(4)}
    validation = []
    for c in range(1, 21):
        for i in range(per_class):
            name = f"2007_{c:03d}{i:03d}"
            write_image(root / "VOC2012/JPEGImages" / f"{name}.jpg", noise(100 * c + i))
            write_image(root / "VOC2012/SegmentationClassAug" / f"{name}.png", block(c, i))
            split = "val" if i >= per_class // 2 else "trn"
            listed[split, (c - 1) // 5].append(f"{name}__{c:02d}")
            if i == 0:
                listed[split, (c + 4) // 5 % 4].append(f"{name}__{(c + 4) % 20 + 1:02d}")
            if split == "val":
                validation.append(name)
    sets = root / "VOC2012/ImageSets/Segmentation/val.txt"
    sets.parent.mkdir(parents=True)
    sets.write_text("\n".join(validation) + "\n")
    for (split, fold), lines in listed.items() if lists else ():
        path = root / "splits/pascal" / split / f"fold{fold}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return root
