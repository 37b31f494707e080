"""CVAT for images 1.1: XML with polygons, boxes, masks and ellipses. CVAT's mask archive is `voc`.

https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from likewise.errors import DataSetError, warn
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder, damage_of, read_xml, write_text
from likewise.io.annotations.outlines import polygons_of, single_ring
from likewise.io.annotations.shapes import (
    Box,
    Polygons,
    Shape,
    ShapeError,
    Size,
    bounds,
    box,
    ellipse,
    encode,
    polygon,
    ring_of,
    turn,
)

SHAPES = ("polygon", "box", "mask", "ellipse")


def read(path: Path, finder: ImageFinder) -> Annotations:
    """Return the images of a file. Points, lines and tags are left out.

    Raises:
        DataSetError: A video, or a shape that lacks a number.
    """
    root = read_xml(path)
    if root.find("track") is not None:
        raise DataSetError(f"{path}: a video of CVAT; export it as 'CVAT for images 1.1'")
    images, left_out = [], 0
    with damage_of(path, "CVAT for images", "a shape"):
        for entry in root.iter("image"):
            size = int(entry.attrib["height"]), int(entry.attrib["width"])
            objects = []
            for each in sorted(entry, key=lambda each: int(each.get("z_order", 0))):
                try:
                    objects.append(Object(each.attrib["label"], _shape(each, size)))
                except ShapeError:
                    left_out += 1
            name, image = finder.named(entry.attrib["name"], path)
            images.append(AnnotatedImage(name, tuple(objects), image, size))
    if left_out:
        warn(f"{path}: {left_out} points, lines or tags, or shapes without numbers, have no area, and are left out")
    listed = [name.text or "" for name in root.iterfind(".//label/name")]
    return Annotations.of(images, "cvat", listed)


def _shape(entry: ElementTree.Element, size: Size) -> Shape:
    numbers = {key: float(value) for key, value in entry.attrib.items() if key in _NUMBERS}
    if entry.tag not in SHAPES:
        raise ShapeError(entry.tag)
    if entry.tag == "polygon":
        points = entry.attrib["points"].replace(";", ",").split(",")
        return polygon(float(point) for point in points if point)
    turned = numbers.get("rotation", 0.0)
    if entry.tag == "ellipse":
        return Polygons(((ellipse(numbers["cx"], numbers["cy"], numbers["rx"], numbers["ry"], turned),),))
    if entry.tag == "box":
        left, top, right, bottom = (numbers[key] for key in ("xtl", "ytl", "xbr", "ybr"))
        if not turned:
            return box(left, top, right, bottom)
        corners = ring_of([left, top, right, top, right, bottom, left, bottom])
        return Polygons(((turn(corners, ((left + right) / 2, (top + bottom) / 2), turned),),))
    found = np.zeros(size, bool)
    left, top, width, height = (int(entry.attrib[key]) for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in entry.attrib["rle"].split(",")]
    values = np.repeat(np.arange(len(runs)) % 2 > 0, runs)
    if len(values) != width * height:
        raise ValueError(f"rle, whose runs cover {len(values)} of {width * height} pixels")
    found[top : top + height, left : left + width] = values.reshape(height, width)
    return encode(found)


_NUMBERS = ("rotation", "cx", "cy", "rx", "ry", "xtl", "ytl", "xbr", "ybr")


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], path: Path, tolerance: float) -> None:
    """Write one file. An object in one part without holes is a polygon or box, any other a mask.

    Scores are lost, and crowds become objects.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    labels = ElementTree.SubElement(task, "labels")
    for name in classes:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "attributes")
    for index, image in enumerate(images):
        height, width = image.size
        attributes = {"id": str(index), "name": image.name, "width": str(width), "height": str(height)}
        parent = ElementTree.SubElement(root, "image", attributes)
        for order, one in enumerate(image.objects):
            _write_shape(parent, image, one, order, tolerance)
    ElementTree.indent(root)
    write_text(path, '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n")


def _write_shape(parent: ElementTree.Element, image: AnnotatedImage, one: Object, order: int, tolerance: float) -> None:
    common = {"label": one.class_name, "source": "auto", "occluded": "0", "z_order": str(order)}
    if isinstance(one.shape, Box):
        edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{edge:.8g}" for edge in one.shape.edges), strict=True))
        ElementTree.SubElement(parent, "box", common | edges)
        return
    if (ring := single_ring(polygons_of(image, one, tolerance))) is not None:
        points = ";".join(f"{x:.8g},{y:.8g}" for x, y in ring.tolist())
        ElementTree.SubElement(parent, "polygon", common | {"points": points})
        return
    mask = image.mask_of(one)
    if not mask.any():
        return
    left, top, right, bottom = bounds(mask)
    flat = np.concatenate([[False], mask[top:bottom, left:right].ravel(), [False]])
    edges_of_runs = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], edges_of_runs, [(bottom - top) * (right - left)]]))
    if not runs[-1]:
        runs = runs[:-1]
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    rle = ", ".join(map(str, runs.tolist()))
    ElementTree.SubElement(parent, "mask", common | {"rle": rle} | {key: str(value) for key, value in place.items()})
