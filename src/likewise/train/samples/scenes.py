"""Training data of MCIBI and its baseline: random crops of fully labelled images, and images kept for validation."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from likewise.data.augmentation import Augmentation
from likewise.data.scenes import Scene, SceneSet
from likewise.errors import DataSetError, ImageError, counted, first_of
from likewise.io.images import read_image, read_size
from likewise.io.labels import IGNORE
from likewise.io.opening import TRANSPOSED, format_size
from likewise.io.resize import resize_image, resize_labels
from likewise.metrics.scenes import SceneIoU
from likewise.ops.features import resize
from likewise.train.recipes.data_sections import SceneData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.sources import split_scenes
from likewise.train.samples.training_data import TRAINING, TrainingData, draw_readable


class Batch(NamedTuple):
    """Images, labels (class indices, 255 for ignore) and the loss weight of each class, equal for all items."""

    images: UInt8[Tensor, "b h w 3"]
    labels: UInt8[Tensor, "b h w"]
    weights: Float[Tensor, "b k"]


class TrainingScenes(TrainingData):
    """Random crops of labelled images. Every epoch visits each image once, in a new order.

    All label files are read, and compared with the sizes of their images, before the first step.
    """

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.data, SceneData)
        self.data, self.seed, self.batch = recipe.data, recipe.seed, recipe.batch
        self.training, self.held = split_scenes(recipe.data)
        self.classes, self.stored = self.training.classes, self.training.stored
        if self.held is not None:
            self.selection = "validation mIoU"
        skip = self.data.on_corrupt == "skip"
        self.pixels, ignored = count_class_pixels(self.training, self.held, skip_unreadable=skip)
        check_classes(self.training, self.pixels, ignored)
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
        generator = np.random.default_rng((TRAINING, self.seed, step, place))
        draw = partial(self._draw, step * self.batch + place, generator)
        return draw_readable(draw, self.data.on_corrupt, step, self.training.name)

    def _draw(self, index: int, generator: np.random.Generator, attempt: int) -> Batch:
        scenes = self.training.scenes
        scene = scenes[generator.integers(len(scenes))] if attempt else self.scene(index)
        seed = int(generator.integers(2**32))
        return self.as_batch(*self.augment(*read_scene(self.training, scene, self.data.side), seed))

    def as_batch(self, image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "hl wl"]) -> Batch:
        weights = torch.from_numpy(self.weights[None].copy())
        return Batch(torch.from_numpy(image[None].copy()), torch.from_numpy(labels[None].copy()), weights)

    def scene(self, index: int) -> Scene:
        """Return the `index`-th image of the run, in an order that follows from the seed and the epoch."""
        epoch, place = divmod(index, len(self.training.scenes))
        if self.order[0] != epoch:
            order = np.random.default_rng((TRAINING, self.seed, epoch)).permutation(len(self.training.scenes))
            self.order = epoch, order
        return self.training.scenes[self.order[1][place]]

    def score(self, model: Any, move: Callable[[Batch], Batch]) -> float:
        assert self.held is not None
        metric = SceneIoU(self.held.classes)
        for scene in self.held.scenes:
            image, labels = read_image(scene.image), self.held.read_labels(scene.labels)
            batch = move(self.as_batch(resize_short_side(image, self.data.side), labels))
            logits = model(model.backbone.normalise(batch.images)).float()
            logits = resize(logits, (labels.shape[0], labels.shape[1]), align_corners=False)
            metric.update(logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy(), labels)
        return metric.compute().values["mIoU"]

    def validation_protocol(self) -> str:
        assert self.held is not None
        size = "its own size" if self.data.side is None else f"a short side of {self.data.side} pixels"
        return (
            f"mIoU on {counted(len(self.held.scenes), 'image')} excluded from training ({self.held.name}), each "
            f"parsed whole at {size}, one confusion matrix. No test image is used"
        )

    def record(self) -> dict[str, Any]:
        training = {
            **_contents(self.training),
            "pixels": dict(zip(self.classes, self.pixels.tolist(), strict=True)),
            "classes that never occur": [
                name for name, count in zip(self.classes, self.pixels, strict=True) if not count
            ],
        }
        return {"training": training, "validation": self.held and _contents(self.held)}


def class_weights(pixels: Int[np.ndarray, " k"], balance: float) -> Float32[np.ndarray, " k"]:
    """Return the loss weight of each class's pixels (`SceneData.balance`); 1 for classes that never occur."""
    occurs = pixels > 0
    median = np.median(pixels[occurs])
    relative = median / np.where(occurs, pixels, median)
    return (relative**balance).astype(np.float32)


def check_classes(scenes: SceneSet, pixels: np.ndarray, ignored: int) -> None:
    """Refuse data with fewer than two classes, and warn about classes that never occur."""
    found = [name for name, count in zip(scenes.classes, pixels, strict=True) if count]
    if len(found) < 2:
        share = ignored / max(ignored + pixels.sum(), 1)
        white = f" ({share:.0%} of the pixels are {IGNORE}, which is ignored: if they are a class, store it as 1)"
        raise DataSetError(
            f"the labels of {scenes.name} contain {'only ' + found[0] if found else 'no class'}"
            f"{white * (ignored > 0)}: label at least two classes, or use `likewise segment` for a single object"
        )
    absent = [name for name in scenes.classes if name not in found]
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(scenes.classes)} classes occur in no training image of {scenes.name} and cannot "
            f"be learned: {', '.join(absent)}",
            stacklevel=2,
        )


def read_scene(
    scenes: SceneSet, scene: Scene, side: int | None
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Return an image and its labels, resized to a short side of `side` pixels unless it is None."""
    image, labels = read_image(scene.image), scenes.read_labels(scene.labels)
    if image.shape[:2] != labels.shape:
        raise ImageError(
            f"{scene.labels} is {format_size(*labels.shape)}, but its image is "
            f"{format_size(image.shape[0], image.shape[1])}: label the image at its own size"
        )
    image = resize_short_side(image, side)
    if image.shape[:2] != labels.shape:
        # a copy, since torch needs a writable array
        labels = resize_labels(labels, image.shape[0], image.shape[1], "centre").copy()
    return image, labels


def resize_short_side(image: UInt8[np.ndarray, "h w 3"], side: int | None) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the image resized to a short side of `side` pixels; unchanged if `side` is None."""
    if side is None:
        return image
    factor = side / min(image.shape[:2])
    return resize_image(image, *(max(1, round(length * factor)) for length in image.shape[:2]))


def _contents(scenes: SceneSet) -> dict[str, Any]:
    return {"set": scenes.name, "presence": str(scenes.presence), "images": len(scenes.scenes)}


MAX_LISTED = 20
"""Problems that the error message lists; further ones are counted."""


def count_class_pixels(
    training: SceneSet, held: SceneSet | None, *, skip_unreadable: bool
) -> tuple[Int[np.ndarray, " k"], int]:
    """Return the number of pixels of each class, and of ignored ones, in the training labels; check both sets.

    The error lists all label files that are unreadable, contain other labels, or differ in size from their image, and
    validation images without a labelled pixel. With `skip_unreadable`, unreadable images are tolerated, since training
    replaces them.
    """
    problems: list[str] = []

    def count(scenes: SceneSet, scene: Scene) -> np.ndarray:
        try:
            labels = scenes.read_labels(scene.labels)
            _check_size(scene, labels.shape, skip_unreadable=skip_unreadable)
        except ImageError as error:
            problems.append(str(error))
            return np.zeros(IGNORE + 1, int)
        return np.bincount(labels.ravel(), minlength=IGNORE + 1)

    with ThreadPoolExecutor() as readers:
        total = sum(readers.map(lambda scene: count(training, scene), training.scenes), np.zeros(IGNORE + 1, int))
        if held is not None:
            readable = len(problems)
            labelled = sum(readers.map(lambda scene: count(held, scene)[:IGNORE].sum(), held.scenes))
            if not labelled and len(problems) == readable:
                names = first_of([scene.image.stem for scene in held.scenes], 4)
                problems.append(
                    f"{held.name} ({len(held.scenes)} for validation: {names}) has no labelled pixel, only {IGNORE} "
                    "(ignored): label it, or choose other images with data.keep_every"
                )
    if problems:
        listed = sorted(problems)[:MAX_LISTED]
        more = f"; and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        raise DataSetError(f"{training.name}: {counted(len(problems), 'problem')}: {'; '.join(listed)}{more}")
    return total[: len(training.classes)], int(total[IGNORE])


def _check_size(scene: Scene, labelled: tuple[int, ...], *, skip_unreadable: bool) -> None:
    try:
        size, orientation = read_size(scene.image)
    except ImageError:
        if skip_unreadable:
            return
        raise
    if size != labelled:
        turned = orientation in TRANSPOSED and size == labelled[::-1]
        advice = f"the image has EXIF orientation {orientation}; label it upright" if turned else "label it at its size"
        sizes = f"{format_size(*labelled)}, but its image is {format_size(*size)}"
        raise ImageError(f"{scene.labels}: is {sizes}: {advice}")
