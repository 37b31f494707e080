"""Fully labelled images to train on: cut from the training split, measured on images that are not trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from likewise.data.augmentation import Augmentation
from likewise.data.benchmarks import SCENES, open_scenes
from likewise.data.scene_folders import folder_scenes
from likewise.data.scenes import Scene, SceneSet
from likewise.errors import DataSetError, ImageError
from likewise.io.images import format_size, read_image
from likewise.io.labels import IGNORE
from likewise.io.resize import resize_image, resize_labels
from likewise.metrics.scenes import SceneIoU
from likewise.ops.features import resize
from likewise.train.recipes.data_sections import SceneData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.training_data import TRAINING, TrainingData, draw_readable

VALIDATED_ON = {"camvid": "val"}
"""The split to validate on, of sets whose papers compare on another."""


class Batch(NamedTuple):
    """Images; the class of each of their pixels, 255 for those that do not count; what a pixel of each class weighs.

    The weights are those of the data set, the same for every image.
    """

    images: UInt8[Tensor, "b h w 3"]
    labels: UInt8[Tensor, "b h w"]
    weights: Float[Tensor, "b k"]


class TrainingScenes(TrainingData):
    """Crops of labelled images: every image once, in another order each time, before any comes again.

    All label files are read at the start, so that what is wrong with them shows before hours of training.

    Raises:
        DataSetError: the data set is not there, its labels name fewer than two classes, or nothing is left to train on.
        ImageError: a label file that cannot be read, or holds a label that is no class.
    """

    selection = None

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.data, SceneData)
        self.data, self.seed, self.batch = recipe.data, recipe.seed, recipe.batch
        self.training, self.held = split_scenes(recipe.data)
        self.classes = self.training.classes
        if self.held is not None:
            self.selection = "validation mIoU"
        self.pixels = count_class_pixels(self.training)
        check_classes(self.training, self.pixels)
        self.weights = class_weights(self.pixels, self.data.balance)
        self.augment = Augmentation(
            scale=self.data.scale,
            crop=self.data.crop,
            jitter=self.data.jitter,
            mirror=self.data.mirror,
            pairs=self.training.mirrored,
        )
        self.order: tuple[int, np.ndarray] = -1, np.empty(0, int)

    def item(self, step: int, place: int) -> Batch:
        """See `SceneData.on_corrupt` for images that cannot be read."""
        generator = np.random.default_rng((TRAINING, self.seed, step, place))
        scenes = self.training.scenes

        def draw(attempt: int) -> Batch:
            scene = scenes[generator.integers(len(scenes))] if attempt else self.scene(step * self.batch + place)
            seed = int(generator.integers(2**32))
            return self.as_batch(*self.augment(*read_scene(self.training, scene, self.data.side), seed))

        return draw_readable(draw, self.data.on_corrupt, step, self.training.name)

    def as_batch(self, image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "hl wl"]) -> Batch:
        weights = torch.from_numpy(self.weights[None].copy())
        return Batch(torch.from_numpy(image[None].copy()), torch.from_numpy(labels[None].copy()), weights)

    def scene(self, index: int) -> Scene:
        """The image of that number in the run: in its turn, of an order that the seed and the turn give."""
        turn, place = divmod(index, len(self.training.scenes))
        if self.order[0] != turn:
            order = np.random.default_rng((TRAINING, self.seed, turn)).permutation(len(self.training.scenes))
            self.order = turn, order
        return self.training.scenes[self.order[1][place]]

    def score(self, model: Any, move: Callable[[Batch], Batch]) -> float:
        assert self.held is not None
        metric = SceneIoU(self.held.classes)
        for scene in self.held.scenes:
            image, labels = read_image(scene.image), self.held.read_labels(scene.labels)
            batch = move(self.as_batch(brought(image, self.data.side), labels))
            logits = model(model.backbone.normalise(batch.images)).float()
            logits = resize(logits, (labels.shape[0], labels.shape[1]), align_corners=False)
            metric.update(logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy(), labels)
        return metric.compute().values["mIoU"]

    def described(self) -> str:
        assert self.held is not None
        size = "their own size" if self.data.side is None else f"a short side of {self.data.side} pixels"
        return (
            f"mIoU on {len(self.held.scenes)} images that were not trained on ({self.held.name}), each parsed whole "
            f"at {size}, one confusion matrix. No test image was used"
        )

    def record(self) -> dict[str, Any]:
        training = {
            **told(self.training),
            "pixels": dict(zip(self.classes, self.pixels.tolist(), strict=True)),
            "classes that never occur": [
                name for name, count in zip(self.classes, self.pixels, strict=True) if not count
            ],
        }
        return {"training": training, "validation": self.held and told(self.held)}


def split_scenes(data: SceneData) -> tuple[SceneSet, SceneSet | None]:
    """The images to train on and those to validate on, as `SceneData` says."""
    if data.set == "folder":
        training = folder_scenes(data.root / data.images, data.root / data.labels, data.classes, strict=True)
    else:
        assert data.set in SCENES
        training = open_scenes(data.root, data.set, "train")
    if data.set in VALIDATED_ON:
        return training, open_scenes(data.root, data.set, VALIDATED_ON[data.set])
    if data.keep_every is None:
        return training, None
    kept = training.scenes[data.keep_every - 1 :: data.keep_every]
    rest = tuple(scene for index, scene in enumerate(training.scenes, start=1) if index % data.keep_every)
    if not kept or not rest:
        raise DataSetError(
            f"{training.name} has {len(training.scenes)} labelled images: too few to keep every {data.keep_every}th "
            "for validation; set data.keep_every to less, or to null"
        )
    held = replace(training, name=f"every {data.keep_every}th image of {training.name}", scenes=kept)
    return replace(training, scenes=rest), held


def count_class_pixels(scenes: SceneSet) -> np.ndarray:
    """The number of pixels of each class over all label files."""

    def counted(scene: Scene) -> np.ndarray:
        return np.bincount(scenes.read_labels(scene.labels).ravel(), minlength=IGNORE + 1)

    with ThreadPoolExecutor() as readers:
        total = np.sum(list(readers.map(counted, scenes.scenes)), axis=0)
    return total[: len(scenes.classes)]


def class_weights(pixels: Int[np.ndarray, " k"], balance: float) -> Float32[np.ndarray, " k"]:
    """What a pixel of each class weighs, as `SceneData.balance` says; 1 for classes that never occur."""
    there = pixels > 0
    relative = np.median(pixels[there]) / np.where(there, pixels, np.median(pixels[there]))
    return (relative**balance).astype(np.float32)


def check_classes(scenes: SceneSet, pixels: np.ndarray) -> None:
    """Refuse what has nothing to be told apart, and tell of classes that never occur."""
    there = [name for name, count in zip(scenes.classes, pixels, strict=True) if count]
    if len(there) < 2:
        raise DataSetError(
            f"the labels of {scenes.name} show {'only ' + there[0] if there else 'no class'}: at least two classes are "
            "needed; give one class and the rest labels of their own, or use `likewise segment` for a single object"
        )
    absent = [name for name in scenes.classes if name not in there]
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(scenes.classes)} classes occur in no training image of {scenes.name} and cannot "
            f"be learned: {', '.join(absent)}",
            stacklevel=2,
        )


def read_scene(
    scenes: SceneSet, scene: Scene, side: int | None
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """An image and its labels, brought to a short side of `side` pixels unless that is None.

    Raises:
        ImageError: one cannot be read, or they differ in size.
    """
    image, labels = read_image(scene.image), scenes.read_labels(scene.labels)
    if image.shape[:2] != labels.shape:
        raise ImageError(
            f"{scene.labels}: is {format_size(*labels.shape)}, but its image is "
            f"{format_size(image.shape[0], image.shape[1])}; label the image at its own size"
        )
    image = brought(image, side)
    if image.shape[:2] != labels.shape:
        labels = resize_labels(labels, image.shape[0], image.shape[1], "centre").copy()  # torch wants to write
    return image, labels


def brought(image: UInt8[np.ndarray, "h w 3"], side: int | None) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image at a short side of `side` pixels, aspect kept; as it is for None."""
    if side is None:
        return image
    factor = side / min(image.shape[:2])
    return resize_image(image, *(max(1, round(length * factor)) for length in image.shape[:2]))


def told(scenes: SceneSet) -> dict[str, Any]:
    """What a set holds, for a record."""
    return {"set": scenes.name, "presence": str(scenes.presence), "images": len(scenes.scenes)}
