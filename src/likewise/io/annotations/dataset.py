"""Annotated images, whatever file they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, DataSetError, check_known, counted, first_of, warn
from likewise.io.annotations.shapes import Box, Shape, Size, scaled, turned
from likewise.io.images import read_image, read_size
from likewise.io.labels import IGNORE
from likewise.io.opening import TRANSPOSED, format_size


@dataclass(frozen=True)
class Object:
    """One object, or a region of many (`crowd`).

    Attributes:
        score: Confidence in [0, 1] of a prediction.
        crowd: Whether the shape is a region whose objects are not separated: neither one of them nor background.
    """

    class_name: str
    shape: Shape
    score: float | None = None
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its objects.

    Attributes:
        name: Path relative to the folder of the images, with forward slashes.
        objects: In the order of the file; a later one covers an earlier one in label images.
        image: The file, or its bytes if the annotation contains them; None if it is absent.
        size_given: Height and width that the annotation states.
    """

    name: str
    objects: tuple[Object, ...]
    image: Path | bytes | None = None
    size_given: Size | None = None

    @cached_property
    def size(self) -> Size:
        """Height and width: those of the annotation, else of the upright image.

        Raises:
            DataSetError: Neither is known.
        """
        if self.size_given is not None:
            return self.size_given
        if isinstance(self.image, Path):
            return read_size(self.image)[0]
        if self.image is None:
            raise DataSetError(f"{self.name}: its size is unknown without the image; put it beside its annotation")
        height, width = read_image(self.image).shape[:2]
        return height, width

    @cached_property
    def upright(self) -> AnnotatedImage:
        """The same objects at the size of the upright image, if it is there.

        Shapes of a photograph that was annotated as stored, without its EXIF rotation, are turned. Those of an image
        that was resized are scaled, with a warning.

        Raises:
            DataSetError: The stated size has other proportions than the image.
        """
        stated = self.size
        if isinstance(self.image, Path):
            size, orientation = read_size(self.image)
        else:
            size, orientation = (stated if self.image is None else read_image(self.image).shape[:2]), 1
        size = size[0], size[1]
        if size == stated or not self.objects:
            return replace(self, size_given=size)
        if orientation in TRANSPOSED and stated == size[::-1]:
            fitted = partial(turned, orientation=orientation, size=stated)
        elif all(abs(stated[0] * size[1] - stated[1] * size[0]) <= longest for longest in (max(stated), max(size))):
            warn(f"{self.name}: annotated at {format_size(*stated)} and scaled to {format_size(*size)}")
            fitted = partial(scaled, size=stated, to=size)
        else:
            raise DataSetError(
                f"{self.name}: is {format_size(*size)}, but was annotated at {format_size(*stated)}; put the image "
                "there that was annotated, or export the annotations again"
            )
        return replace(
            self, objects=tuple(replace(one, shape=fitted(one.shape)) for one in self.objects), size_given=size
        )

    def labels(self, classes: Sequence[str], *, crowds: bool = True) -> UInt8[np.ndarray, "h w"]:
        """Return i + 1 for `classes[i]`, 0 for background and, with `crowds`, `IGNORE` for them."""
        found = np.zeros(self.size, np.uint8)
        for one in self.objects:
            if crowds or not one.crowd:
                found[self.mask_of(one)] = IGNORE if one.crowd else classes.index(one.class_name) + 1
        return found

    def mask(self, class_name: str, *, crowd: bool = False) -> Bool[np.ndarray, "h w"]:
        """Return the pixels of all objects of a class, or of all its crowds."""
        found = np.zeros(self.size, bool)
        for one in self.objects:
            if one.class_name == class_name and one.crowd == crowd:
                found |= self.mask_of(one)
        return found

    def mask_of(self, one: Object) -> Bool[np.ndarray, "h w"]:
        """Return the pixels of an object.

        Raises:
            DataSetError: The annotation's size is not the mask's.
        """
        mask = one.shape.mask(self.size)
        if mask.shape != self.size:
            raise DataSetError(f"{self.name}: its mask is {mask.shape}, its image {self.size} (height, width)")
        return mask

    def boxes(self, class_name: str) -> list[Box]:
        """Return the boxes of a class, empty if one of its objects has another shape."""
        shapes = [one.shape for one in self.objects if one.class_name == class_name and not one.crowd]
        boxes = [shape for shape in shapes if isinstance(shape, Box)]
        return boxes if len(boxes) == len(shapes) else []


@dataclass(frozen=True)
class ObjectMask:
    """The mask of a class in an annotated image, at the size of the upright image, computed when it is read."""

    image: AnnotatedImage
    class_name: str
    crowd: bool = False

    def __call__(self) -> Bool[np.ndarray, "h w"]:
        return self.image.upright.mask(self.class_name, crowd=self.crowd)


@dataclass(frozen=True)
class Annotations:
    """Annotated images and their classes.

    Attributes:
        classes: In the order of the file.
        format: Name of the format that was read.
    """

    images: Sequence[AnnotatedImage]
    classes: tuple[str, ...]
    format: str = ""

    @classmethod
    def of(cls, images: Sequence[AnnotatedImage], format: str, listed: Iterable[str] = ()) -> Annotations:
        """Return images with the classes that their file lists, then those of their objects."""
        used = (one.class_name for image in images for one in image.objects)
        return cls(images, tuple(dict.fromkeys((*listed, *used))), format)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        images = counted(len(self.images), "image")
        return f"<{type(self).__name__} of {images}, {self.format}: {first_of(self.classes, 6)}>"

    @property
    def absent(self) -> list[str]:
        """The names of the images that are not there."""
        return [image.name for image in self.images if image.image is None]

    def only(self, classes: Iterable[str]) -> Annotations:
        """Return the objects of these classes; images without any stay.

        Raises:
            ArgumentError: A class that is not in `classes`.
        """
        chosen = tuple(dict.fromkeys(classes))
        for name in chosen:
            check_known(name, self.classes, "class", ArgumentError)
        images = [
            replace(image, objects=tuple(one for one in image.objects if one.class_name in chosen))
            for image in self.images
        ]
        return replace(self, images=images, classes=chosen)
