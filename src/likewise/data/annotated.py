"""Annotation files of other tools as labelled scenes and as few-shot sets."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.data.episodes import Entry, EpisodeSet
from likewise.data.layout import Presence
from likewise.data.scenes import Scene, SceneSet
from likewise.errors import DataSetError
from likewise.io.annotations import AnnotatedImage, Annotations, read_annotations
from likewise.io.labels import IGNORE

BACKGROUND = "background"


def annotated_scenes(path: Path | str, classes: Sequence[str] | None = None) -> SceneSet:
    """Return the images that a file or folder annotates, as scenes of "background" and its classes.

    A later object covers an earlier one; crowds are ignored. An image without objects is all background.

    Args:
        classes: names of the classes, in the order of labels 1, 2, ...; objects of others are background.
    """
    annotations = _present(path, classes)
    images = {image.image: image for image in annotations.images if isinstance(image.image, Path)}
    names = (BACKGROUND, *annotations.classes)
    scenes = tuple(Scene(file, file) for file in images)
    read = partial(read_label_map, images, annotations.classes)
    return SceneSet(Path(path).name, names, scenes, _presence(path, annotations), read)


def annotated_classes(path: Path | str) -> EpisodeSet:
    """Return a few-shot set of the images that a file or folder annotates; crowds are ignored."""
    annotations = _present(path)
    images = {image.name: image for image in annotations.images}
    entries = tuple(
        Entry(image.name, name)
        for image in annotations.images
        if image.image is not None
        for name in dict.fromkeys(one.class_name for one in image.objects if not one.crowd)
    )
    if not entries:
        raise DataSetError(f"{path}: no image that is there shows an object")
    used = {entry.class_name for entry in entries}
    classes = tuple(name for name in annotations.classes if name in used)
    files, read = partial(_file, images), partial(read_class_mask, images)
    return EpisodeSet(
        Path(path).name, None, "all", classes, entries, files, read, presence=_presence(path, annotations)
    )


def _present(path: Path | str, classes: Sequence[str] | None = None) -> Annotations:
    annotations = read_annotations(path)
    if classes is not None:
        annotations = annotations.only(name for name in classes if name != BACKGROUND)
    if not any(isinstance(image.image, Path) for image in annotations.images):
        raise DataSetError(f"{path}: none of its {len(annotations)} images is there")
    return annotations


def _presence(path: Path | str, annotations: Annotations) -> Presence:
    return Presence(Path(path).name, len(annotations), tuple(annotations.absent))


def _file(images: Mapping[str, AnnotatedImage], name: str) -> Path:
    file = images[name].image
    return file if isinstance(file, Path) else Path(name)


def read_label_map(
    images: Mapping[Path, AnnotatedImage], classes: tuple[str, ...], file: Path
) -> UInt8[np.ndarray, "h w"]:
    """Return 0 for background, i + 1 for `classes[i]` and `IGNORE` for crowds."""
    return images[file].upright.labels(classes)


def read_class_mask(images: Mapping[str, AnnotatedImage], name: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """Return 1 where the class is, `IGNORE` for its crowds, else 0."""
    image = images[name].upright
    crowd = image.mask(class_name, crowd=True)
    return np.where(image.mask(class_name), 1, crowd * IGNORE).astype(np.uint8)
