"""Train the network of `likewise.Selector` on simulated clicks and boxes.

    python experiments/22-selection/train.py --data DATA --out selector.pt

Images: 1,200 of PASCAL VOC's training lists (components of a class) and of CCP (people and garments), 5 to 1, without
the validation images and without those of `full/`. A sample is one object with a box (25%), a click (65%) or both
(10%), then up to three clicks in the largest error of the network's own answer.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from network import ClickNetwork
from objects import box_of
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from likewise.io.images import read_image
from likewise.predict.inputs import Inputs
from likewise.predict.selector import SIDE, bundled_backbone
from likewise.predict.selector_planes import FINE, View, planes_of, seeds_of, view_of

SMALLEST = 0.005
"""Share of the image from which a component counts as an object."""
IMAGES, BATCH = 1200, 8
ROUNDS = (0, 0, 1, 1, 2, 3)
"""Corrections before the answer that the loss is taken of, drawn for each batch."""


class Shown(NamedTuple):
    """An image: its view, its objects at the fine grid, how often each is drawn, and the pixels that do not count."""

    view: View
    masks: list[Bool[np.ndarray, "h w"]]
    weights: list[float]
    ignored: Bool[np.ndarray, "h w"]


def files(data: Path) -> list[tuple[Path, Path]]:
    """Return images and label maps."""
    generator = np.random.default_rng(1)
    lists = [data / f"splits/pascal/val/fold{fold}.txt" for fold in range(4)]
    excluded = {line.split("__")[0] for path in lists for line in path.read_text().split("\n")}
    excluded |= {path.stem for path in (data / "full/VOC2012/JPEGImages").glob("*.jpg")}
    names = sorted(path.stem for path in (data / "VOC2012/JPEGImages").glob("*.jpg") if path.stem not in excluded)
    garments = sorted((data / "CCP/labels").glob("*.png"))
    garments = [garments[index] for index in generator.permutation(len(garments))]
    found = []
    for index, name in enumerate(generator.permutation(names)):
        paths = data / f"VOC2012/JPEGImages/{name}.jpg", data / f"VOC2012/SegmentationClassAug/{name}.png"
        found.append(paths)
        if index % 5 == 4 and garments:
            label = garments.pop()
            found.append((next((data / "CCP/photos").glob(f"{label.stem}.*")), label))
    return found[:IMAGES]


def show(image: Path, label: Path) -> Shown:
    backbone = bundled_backbone()
    pixels = Inputs(SIDE, 2 * backbone.multiple, backbone.multiple).resize(read_image(image))
    size = pixels.shape[1] // FINE, pixels.shape[0] // FINE
    labels = np.asarray(Image.open(label).resize(size, Image.Resampling.NEAREST))
    values = np.setdiff1d(np.unique(labels), [0])
    if label.parent.name == "labels":
        masks, ignored = [labels > 0, *(labels == value for value in values)], np.zeros(labels.shape, bool)
    else:
        masks, ignored = [], labels == 255
        for value in values[values < 255]:
            pieces, count = ndimage.label(labels == value, np.ones((3, 3)))
            masks += [pieces == number for number in range(1, count + 1)]
    kept = [(mask, 3.0 if mask is masks[0] else 1.0) for mask in masks if mask.mean() >= SMALLEST]
    view = view_of(pixels, backbone.features(pixels[None]))
    return Shown(view, [mask for mask, _ in kept], [weight for _, weight in kept], ignored)


def inner_point(region: Bool[np.ndarray, "h w"], generator: np.random.Generator) -> tuple[float, float]:
    """Return (x, y) of the middle of a region, or of a random pixel that is not at its border."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= min(0.3 * depth.max(), 3))
    at = generator.integers(len(rows))
    if generator.random() < 0.6:
        at = depth[rows, columns].argmax()
    return columns[at] + 0.5, rows[at] + 0.5


class Sample:
    """One object and its marks so far."""

    def __init__(self, shown: Shown, generator: np.random.Generator) -> None:
        self.shown, self.generator = shown, generator
        weights = np.array(shown.weights)
        self.mask = shown.masks[generator.choice(len(weights), p=weights / weights.sum())]
        self.previous: Bool[np.ndarray, "h w"] | None = None
        self.points: list[tuple[float, float]] = []
        self.labels: list[int] = []
        self.box: tuple[float, ...] | None = None
        kind = generator.random()
        if kind < 0.35:
            self.box = self.loose_box()
        if kind > 0.25:
            self.click(self.mask, 1)

    def loose_box(self) -> tuple[float, ...]:
        """The box of the object, each side moved by about 3%."""
        box, (height, width) = np.array(box_of(self.mask), float), self.mask.shape
        moved = box + self.generator.normal(0, 0.03, 4) * np.tile(box[2:] - box[:2], 2)
        first = np.minimum(moved[:2].clip(0), box[2:] - 2).clip(0)
        last = np.minimum(np.maximum(moved[2:], first + 2), (width, height))
        return (*first.tolist(), *last.tolist())

    def click(self, region: Bool[np.ndarray, "h w"], label: int) -> None:
        self.points.append(inner_point(region, self.generator))
        self.labels.append(label)

    def correct(self, found: Bool[np.ndarray, "h w"]) -> None:
        """Click into the largest error."""
        pieces = []
        for label, region in enumerate((found & ~self.mask & ~self.shown.ignored, self.mask & ~found)):
            numbers, count = ndimage.label(region)
            if count:
                sizes = np.bincount(numbers.ravel())[1:]
                pieces.append((sizes.max(), label, numbers == sizes.argmax() + 1))
        if pieces:
            _, label, region = max(pieces, key=lambda one: one[0])
            self.click(region, label)
        self.previous = found if self.generator.random() < 0.7 else None

    def inputs(self) -> list[np.ndarray]:
        size = self.mask.shape[0], self.mask.shape[1]
        seeds = seeds_of(size, size, self.points, self.labels, self.box)  # type: ignore[arg-type]
        return [self.shown.view.middle, self.shown.view.deep, *planes_of(self.shown.view, seeds, self.previous)]


def batch_of(samples: list[Sample], mirrored: Bool[np.ndarray, " b"]) -> list[Tensor]:
    arrays = zip(*(sample.inputs() for sample in samples), strict=True)
    return [torch.from_numpy(mirror(each, mirrored)) for each in arrays]


def mirror(arrays: Any, mirrored: Bool[np.ndarray, " b"]) -> np.ndarray:
    return np.stack([each[..., ::-1] if flip else each for each, flip in zip(arrays, mirrored, strict=True)])


def loss_of(
    logits: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"], known: Float[Tensor, "b h w"]
) -> tuple[Tensor, float]:
    """Return cross-entropy plus 1 - soft IoU, and the soft IoU. Half of the weight goes by area, half to each side."""
    sides = target * known, (1 - target) * known
    total = known.sum((1, 2), keepdim=True)
    weight = 0.5 * known + 0.5 * sum(side * total / (2 * side.sum((1, 2), keepdim=True) + 1) for side in sides)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    shown = torch.sigmoid(logits) * known
    both = (shown * target).sum((1, 2))
    iou = both / (shown.sum((1, 2)) + sides[0].sum((1, 2)) - both).clamp(min=1)
    return ((entropy * weight).sum((1, 2)) / total[:, 0, 0] + 1 - iou).mean(), float(iou.detach().mean())


def train(images: list[Shown], out: Path, epochs: int) -> None:
    generator = np.random.default_rng(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = ClickNetwork().to(memory_format=torch.channels_last)
    by_size = defaultdict(list)
    for image in images:
        by_size[image.ignored.shape].append(image)
    steps = epochs * sum(len(own) // BATCH for own in by_size.values())
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1, pct_start=0.1)
    start = time.time()
    for epoch in range(epochs):
        batches = []
        for own in by_size.values():
            order = generator.permutation(len(own))
            batches += [[own[i] for i in order[at : at + BATCH]] for at in range(0, len(own) - BATCH + 1, BATCH)]
        seen = defaultdict(list)
        for index in generator.permutation(len(batches)):
            samples = [Sample(shown, generator) for shown in batches[index]]
            rounds = int(generator.choice(ROUNDS))
            with torch.inference_mode():
                for _ in range(rounds):
                    found = network(*batch_of(samples, np.zeros(len(samples), bool))).numpy() > 0
                    for sample, own in zip(samples, found, strict=True):
                        sample.correct(own)
            mirrored = generator.random(len(samples)) < 0.5
            target, known = (
                torch.from_numpy(mirror(planes, mirrored)).float()
                for planes in ([one.mask for one in samples], [~one.shown.ignored for one in samples])
            )
            loss, iou = loss_of(network(*batch_of(samples, mirrored)), target, known)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            seen[rounds].append(iou)
        means = {rounds: round(float(np.mean(seen[rounds])), 3) for rounds in sorted(seen)}
        print(epoch, f"{time.time() - start:.0f} s, soft IoU by corrections", means, flush=True)
        torch.save(network.state_dict(), out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()
    shown = [show(*paths) for paths in files(arguments.data)[: arguments.images]]
    train([image for image in shown if image.masks], arguments.out, arguments.epochs)


if __name__ == "__main__":
    main()
