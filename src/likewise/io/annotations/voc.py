"""PASCAL VOC: boxes in XML, classes and objects in palette or colour PNGs; also CVAT's "Segmentation mask 1.1".

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from likewise.errors import DataSetError
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import (
    ImageFinder,
    files_below,
    output_path,
    read_each,
    read_xml,
    safe_name,
    save_palette,
    write_text,
)
from likewise.io.annotations.shapes import Box, bounds, encode_values
from likewise.io.class_lists import PASCAL, read_class_table, read_palette, voc_palette
from likewise.io.images import save_image
from likewise.io.labels import IGNORE
from likewise.io.masks import Colour
from likewise.io.paths import visible_entries
from likewise.io.stored_values import stored_values

CLASSES, OBJECTS, BOXES, LABELMAP = "SegmentationClass", "SegmentationObject", "Annotations", "labelmap.txt"
BACKGROUND = ("background", "_background_", "__ignore__")
VOID: Colour = (224, 224, 192)
"""The colour of pixels to ignore."""


def read(path: Path, finder: ImageFinder) -> Annotations:
    """Return the images of a folder with the VOC layout, or of one XML file.

    Masks come before boxes: an image with a class PNG has one object for each class, or for each object of its object
    PNG. Class names are those of ``labelmap.txt`` or ``class_names.txt``, else VOC's own.
    """
    if path.is_file():
        return Annotations.of([_read_boxes(path, finder)], "voc")
    masks, boxes = _files(path / CLASSES, ".png"), _files(path / BOXES, ".xml")
    boxes = boxes or dict(_beside_images(path, ("annotation", "damaged")))
    if not masks and not boxes:
        raise DataSetError(f"{path}: looks like PASCAL VOC, but has no {CLASSES}/x.png and no {BOXES}/x.xml")
    names = _class_names(path) if masks else {}
    images = read_each([file for stem, file in boxes.items() if stem not in masks], partial(_read_boxes, finder=finder))
    for stem in masks:
        boxed = _read_boxes(boxes[stem], finder) if stem in boxes else None
        objects, size = _read_masks(masks[stem], path / OBJECTS / f"{stem}.png", names)
        file = finder.of_stem(path / stem, stem)
        name = boxed.name if boxed else f"{stem}{file.suffix if file else '.jpg'}"
        images.append(AnnotatedImage(name, objects, file, size))
    return Annotations.of(images, "voc", names.values() if _own_names(path) else ())


def is_folder(folder: Path) -> bool:
    """Return whether a folder has the layout of VOC."""
    if (folder / CLASSES).is_dir() or ((folder / LABELMAP).is_file() and not (folder / "images").is_dir()):
        return True
    return bool(_files(folder / BOXES, ".xml")) or any(_beside_images(folder, ("annotation",)))


def _beside_images(folder: Path, roots: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield the stem and the path of XML files beside images, where labelImg and Roboflow put them."""
    for entry in visible_entries(folder):
        if entry.suffix.lower() == ".xml" and entry.is_file() and _root(entry) in roots:
            yield entry.stem, entry


def _root(path: Path) -> str:
    """Return the tag of an XML file's root; "damaged" if it cannot be read."""
    try:
        return read_xml(path).tag
    except DataSetError:
        return "damaged"


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    """Return the files of a folder and its subfolders by their path without suffix."""
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files_below(folder, suffix)}


def _own_names(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (LABELMAP, "class_names.txt"))


def _class_names(folder: Path) -> dict[int | Colour, str]:
    """Return the class of each label and of each colour, without background."""
    names: dict[int | Colour, str] = {}
    if (folder / LABELMAP).is_file():
        for index, named in enumerate(read_palette(folder / LABELMAP)):
            names |= {index: named.name, named.colour: named.name}
    else:
        listed = dict(enumerate(("background", *PASCAL)))
        if (folder / "class_names.txt").is_file():  # of labelme's export
            listed = read_class_table(folder / "class_names.txt")
            if listed.get(0) == "__ignore__":
                listed = {index - 1: name for index, name in listed.items()}
        colours = voc_palette()
        for index, name in listed.items():
            names |= {index: name, colours[index]: name} if index >= 0 else {}
    return {key: name for key, name in names.items() if name not in BACKGROUND}


def _read_masks(classes: Path, objects: Path, names: dict[int | Colour, str]) -> tuple[tuple[Object, ...], Any]:
    """Return the objects of a class PNG and, if it exists, its object PNG, and the size."""
    labels, found = _packed(classes), []
    split = _packed(objects) if objects.is_file() else np.zeros_like(labels)
    if split.shape != labels.shape:
        raise DataSetError(f"{objects}: is {split.shape}, its class PNG {labels.shape} (height, width)")
    colours = stored_values(classes).values.ndim == 3
    numbers = np.unique(split, return_inverse=True)[1].reshape(split.shape)
    for pair, shape in encode_values(np.where(labels > 0, numbers << 24 | labels, 0)).items():
        value = pair & 0xFFFFFF
        colour = value >> 16, value >> 8 & 255, value & 255
        key: int | Colour = colour if colours else value
        if key in names:
            found.append(Object(names[key], shape))
        elif key not in (IGNORE, VOID):
            found.append(Object(",".join(map(str, colour)) if colours else str(value), shape))
    return tuple(found), (labels.shape[0], labels.shape[1])


def _packed(path: Path) -> np.ndarray:
    """Return the labels, or the colours as numbers."""
    values = stored_values(path).values.astype(np.int64)
    return values if values.ndim == 2 else values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]


def _read_boxes(path: Path, finder: ImageFinder) -> AnnotatedImage:
    """Return the image of an XML file; its pixels count from 1, and the last ones belong to the box."""
    root = read_xml(path)
    if root.tag != "annotation":
        raise DataSetError(f"{path}: no XML of PASCAL VOC, whose root is <annotation>; this one has <{root.tag}>")
    try:
        objects = []
        for entry in root.iterfind("object"):
            box = entry.find("bndbox")
            edges = [float((box.findtext(key) if box is not None else None) or "") for key in _EDGES]
            left, top, right, bottom = edges
            left, right, top, bottom = *sorted((left, right)), *sorted((top, bottom))
            objects.append(Object(entry.findtext("name") or "", Box((left - 1, top - 1, right, bottom))))
        size = tuple(int(float(root.findtext(f"size/{key}") or 0)) for key in ("height", "width"))
    except ValueError as error:
        raise DataSetError(f"{path}: looks like PASCAL VOC, but a box lacks a number ({error})") from error
    given = PurePosixPath((root.findtext("filename") or path.stem).replace("\\", "/"))
    # an absolute path is of another machine
    name = safe_name(given.name if given.is_absolute() or ":" in given.parts[0] else str(given), path)
    boxes = next((place for place in path.parents if place.name == BOXES), path.parent)
    stem = path.relative_to(boxes).with_suffix("")
    nested = len(stem.parts) > 1
    image = (finder.of_stem(path, stem.as_posix()) if nested else None) or finder.find(name) or finder.of_stem(path)
    if nested:  # the file name has no folder
        name = stem.with_name(PurePosixPath(name).name).as_posix()
    return AnnotatedImage(name, tuple(objects), image, (size[0], size[1]) if all(size) else None)


_EDGES = ("xmin", "ymin", "xmax", "ymax")


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], folder: Path, tolerance: float) -> None:
    """Write class PNGs, object PNGs, XML files with boxes, ``labelmap.txt`` and a list of the images.

    Where objects overlap, the later one covers the earlier one. Scores are lost; crowds are ignored pixels.
    """
    if len(classes) >= IGNORE:
        raise DataSetError(f"{len(classes)} classes; a palette PNG has room for {IGNORE - 1}")
    stems = []
    for image in images:
        labels, objects = np.zeros(image.size, np.uint8), np.zeros(image.size, np.int64)
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = image.name
        size = ElementTree.SubElement(root, "size")
        for key, value in (("width", image.size[1]), ("height", image.size[0]), ("depth", 3)):
            ElementTree.SubElement(size, key).text = str(value)
        for number, one in enumerate(image.objects, start=1):
            mask = image.mask_of(one)
            labels[mask] = IGNORE if one.crowd else classes.index(one.class_name) + 1
            objects[mask] = 0 if one.crowd else number
            if not one.crowd:
                left, top, right, bottom = one.shape.edges if isinstance(one.shape, Box) else bounds(mask)
                _write_box(root, one.class_name, (left + 1, top + 1, right, bottom))
        stem = str(PurePosixPath(safe_name(image.name, folder)).with_suffix(""))
        stems.append(stem)
        save_palette(labels, output_path(folder / CLASSES, image.name, ".png"))
        place = output_path(folder / OBJECTS, image.name, ".png")
        if objects.max(initial=0) < 256:
            save_palette(objects.astype(np.uint8), place)
        else:
            save_image(np.array(voc_palette(int(objects.max()) + 1), np.uint8)[objects], place)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode") + "\n"
        write_text(output_path(folder / BOXES, image.name, ".xml"), text)
    named = zip(("background", *classes), voc_palette(), strict=False)
    lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in named]
    write_text(folder / LABELMAP, "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")
    write_text(folder / "ImageSets/Segmentation/default.txt", "".join(f"{stem}\n" for stem in stems))


def _write_box(root: ElementTree.Element, name: str, edges: tuple[float, ...]) -> None:
    entry = ElementTree.SubElement(root, "object")
    ElementTree.SubElement(entry, "name").text = name
    ElementTree.SubElement(entry, "difficult").text = "0"
    box = ElementTree.SubElement(entry, "bndbox")
    for key, edge in zip(_EDGES, edges, strict=True):
        ElementTree.SubElement(box, key).text = f"{edge:.8g}"
