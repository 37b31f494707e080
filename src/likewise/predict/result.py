"""What the predictors return: masks and labels at the size of the image, with names and scores. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.io.images import ScaledImage, save_image, save_pillow
from likewise.ops.bilinear import largest_plane, resize_bilinear
from likewise.predict.edges import refine_edges
from likewise.predict.equality import EqualByValue
from likewise.predict.instances import Instances, find_instances
from likewise.predict.presence import Judged
from likewise.viz import draw


@dataclass(frozen=True, eq=False, repr=False)
class Result(EqualByValue):
    """The masks of one image, at the size of the image.

    Attributes:
        labels: 0 for background, i + 1 for `classes[i]`.
        plane: probability of any of the classes, in [0, 1], at the size at which it was computed: that of the image, or
            a smaller one for large images.
        classes: the names of the concept's classes.
        presences: for each class, the probability that it is in the image; None for models that do not judge it.
        expected_ious: for each class, the IoU that its mask is expected to have if the class is in the image; 0 for a
            class without pixels. Of models that do not judge presence, the mean probability over the mask instead.
        scaled: the image; not part of `==`.
        separate: files have one object for each of `instances`, rather than for each connected region.
    """

    labels: UInt8[np.ndarray, "h w"]
    plane: Float32[np.ndarray, "_h _w"]
    classes: tuple[str, ...]
    presences: tuple[float, ...] | None
    expected_ious: tuple[float, ...]
    scaled: ScaledImage | None = field(default=None, compare=False)
    separate: bool = False

    first_label = 1
    """The label of `classes[0]`."""

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """True where any of the classes is."""
        return self.labels > 0

    @cached_property
    def probability(self) -> Float32[np.ndarray, "h w"]:
        """The probability of any of the classes, in [0, 1]; for large images, computed when it is first asked for."""
        return resize_bilinear(self.plane, (self.labels.shape[0], self.labels.shape[1]))

    @property
    def image(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The image itself, for `overlay`; a large one is read from its file again, when it is first asked for."""
        return None if self.scaled is None else self.scaled.whole

    def __repr__(self) -> str:
        height, width = self.labels.shape
        shown = ", ".join(f"{name} {score:.2f}" for name, score in zip(self.classes, self.scores, strict=True))
        return f"Result({width}x{height}, {self.mask.mean():.0%} of the image; {shown})"

    @property
    def stored(self) -> tuple[int, ...]:
        """The label of each class in files."""
        return tuple(range(1, len(self.classes) + 1))

    @property
    def presence(self) -> float | None:
        """The probability that the most probable class is in the image; None for models that do not judge it."""
        return None if self.presences is None else max(self.presences)

    @property
    def expected_iou(self) -> float:
        """The highest of `expected_ious`."""
        return max(self.expected_ious)

    @property
    def scores(self) -> tuple[float, ...]:
        """For each class, presence times expected IoU: one number in [0, 1] to sort by, as in COCO's results."""
        presences = self.presences or (1.0,) * len(self.classes)
        return tuple(own * iou for own, iou in zip(presences, self.expected_ious, strict=True))

    @property
    def score(self) -> float:
        """The highest of the scores."""
        return max(self.scores)

    @cached_property
    def instances(self) -> Instances:
        """The objects of each class, separated (`likewise.predict.instances`); computed at first use."""
        return find_instances(self.labels, self.plane, self.scores)

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The image with each class tinted and outlined; black in place of an image that the result does not have."""
        return draw.overlay(_image_or_black(self.image, self.labels), self.labels)

    def save(self, path: str | Path) -> None:
        """Write the mask as the suffix says: black and white for one class, `labels` with a palette for several."""
        if len(self.classes) == 1:
            save_image(self.mask, path)
        else:
            save_pillow(draw.paletted(self.labels, self.first_label), path)

    def _repr_png_(self) -> bytes:
        return draw.png(self.overlay())


@dataclass(frozen=True, eq=False, repr=False)
class SceneResult(EqualByValue):
    """The class of every pixel of one image, at the size of the image.

    Attributes:
        labels: the index of each pixel's class, 0 for `classes[0]`, as label files of scenes have it.
        probability: of that class, in [0, 1].
        classes: their names.
        image: the image itself, for `overlay`; not part of `==`.
        stored: the label of each class in files; empty if it is the index.
    """

    labels: UInt8[np.ndarray, "h w"]
    probability: Float32[np.ndarray, "h w"]
    classes: tuple[str, ...]
    image: UInt8[np.ndarray, "h w 3"] | None = field(default=None, compare=False)
    stored: tuple[int, ...] = ()

    first_label = 0
    """The label of `classes[0]`: there is no background."""
    presences = None
    """Not judged."""

    def __repr__(self) -> str:
        height, width = self.labels.shape
        areas = sorted(self.areas.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {area / self.labels.size:.0%}" for name, area in areas[:3] if area)
        return f"SceneResult({width}x{height}; {shown}{', ...' if sum(a > 0 for _, a in areas) > 3 else ''})"

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """True where any class is: everywhere."""
        return np.ones(self.labels.shape, bool)

    @property
    def plane(self) -> Float32[np.ndarray, "h w"]:
        """The probability, under the name that it has in `Result`."""
        return self.probability

    @property
    def areas(self) -> dict[str, int]:
        """The number of pixels of each class."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    @property
    def scores(self) -> tuple[float, ...]:
        """For each class, the mean probability over its pixels; 0 for a class without pixels."""
        flat, classes = self.labels.ravel(), len(self.classes)
        sums = np.bincount(flat, self.probability.ravel(), classes)
        return tuple((sums / np.bincount(flat, minlength=classes).clip(1)).tolist())

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The image with each class tinted and outlined; black in place of an image that the result does not have."""
        return draw.overlay(_image_or_black(self.image, self.labels), self.labels + np.uint8(1))

    def save(self, path: str | Path) -> None:
        """Write the stored label of each pixel as an image with a palette."""
        labels = np.array(self.stored, np.uint8)[self.labels] if self.stored else self.labels
        save_pillow(draw.paletted(labels, self.first_label), path)

    def _repr_png_(self) -> bytes:
        return draw.png(self.overlay())


def _image_or_black(
    image: UInt8[np.ndarray, "h w 3"] | None, labels: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    return np.zeros((*labels.shape, 3), np.uint8) if image is None else image


def to_result(
    probabilities: Float32[np.ndarray, "k h w"],
    classes: tuple[str, ...],
    image: ScaledImage | None,
    judged: tuple[Judged, ...] | None = None,
) -> Result:
    """Return the result for probabilities of the background and of each class, and what is known of their presence.

    Args:
        image: None: the result has the size of the probabilities.
    """
    won = largest_plane(probabilities, (probabilities.shape[1], probabilities.shape[2]))
    ious = []
    for index, plane in enumerate(probabilities[1:], start=1):
        own = plane[won == index]
        ious.append(float(own.mean()) if len(own) else 0.0)
    if judged:
        ious = [one.expected_iou(mean) if mean else 0.0 for one, mean in zip(judged, ious, strict=True)]
    return Result(
        labels=won if image is None or image.size == won.shape else largest_plane(probabilities, image.size),
        plane=(1 - probabilities[0]).clip(0, 1),
        classes=classes,
        presences=tuple(one.presence for one in judged) if judged else None,
        expected_ious=tuple(ious),
        scaled=image,
    )


def map_result(
    probability: Float32[np.ndarray, "h w"], classes: tuple[str, ...], image: ScaledImage, *, edges: bool
) -> Result:
    """The result for a probability map of one class: above 0.5 is the mask, whose mean probability is the score.

    With `edges` the map is first refined to the edges of the image.

    Args:
        probability: at the size of the image's pixels.
    """
    found = probability.clip(0, 1)
    planes = np.stack([1 - found, found])
    return to_result(refine_edges(planes, image.pixels) if edges else planes, classes, image)
