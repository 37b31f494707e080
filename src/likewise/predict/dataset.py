"""Annotations of other tools as examples.

annotations.json -> read_annotations -> Dataset -> dataset["cat"][:5] -> FewShot.learn
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from likewise.errors import check_known, warn
from likewise.io.annotations import AnnotatedImage, Annotations, ObjectMask
from likewise.io.annotations import read_annotations as read_images
from likewise.io.annotations.shapes import Edges
from likewise.predict.examples import Example


class Dataset(Annotations):
    """Annotated images, which are examples of their classes.

    ```python
    dataset = read_annotations("annotations.json")
    few_shot.learn(dataset["cat"][:5])
    ```
    """

    def __iter__(self) -> Iterator[Example]:
        """The examples of all classes, one for each image and class."""
        for image in self.images:
            for name in self.classes:
                shown = [one for one in image.objects if one.class_name == name and not one.crowd]
                if image.image is None or not shown:
                    continue
                boxes = _boxes_within(image, name)
                if boxes is None:
                    continue
                crowd = any(one.crowd and one.class_name == name for one in image.objects)
                yield Example(
                    image.image,
                    mask=None if boxes else ObjectMask(image, name),
                    box=boxes or None,
                    ignore=ObjectMask(image, name, crowd=True) if crowd else None,
                    class_name=name,
                )

    def __getitem__(self, class_name: str) -> list[Example]:
        """The examples of a class.

        Raises:
            ArgumentError: an unknown class.
        """
        check_known(class_name, self.classes, "class")
        return [example for example in self if example.class_name == class_name]


def _boxes_within(image: AnnotatedImage, name: str) -> list[Edges] | None:
    """The boxes of a class with a pixel of the image, empty if it has other shapes; None if no box has a pixel."""
    given = image.boxes(name) and image.upright.boxes(name)
    height, width = image.upright.size if given else (0, 0)
    found = []
    for left, top, right, bottom in (box.edges for box in given):
        columns, rows = (
            min(math.ceil(end - 0.5), length) - max(math.ceil(start - 0.5), 0)
            for start, end, length in ((left, right, width), (top, bottom, height))
        )
        if columns > 0 and rows > 0:
            found.append((left, top, right, bottom))
    if len(found) < len(given):
        warn(f"{image.name}: {len(given) - len(found)} of {len(given)} boxes have no pixel of it, and are left out")
    return found or (None if given else [])


def read_annotations(path: str | Path, *, images: str | Path | None = None, format: str | None = None) -> Dataset:
    """The data set in a file or folder; arguments and errors: `likewise.io.annotations.read_annotations`."""
    return as_dataset(read_images(path, images=images, format=format))


def as_dataset(annotations: Annotations) -> Dataset:
    """The annotations as examples."""
    return Dataset(annotations.images, annotations.classes, annotations.format)
