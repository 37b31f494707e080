"""GeoJSON: polygons with holes, one file an image, in pixels as QuPath has it, or at a place on the map.

https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from likewise.errors import DataSetError, warn
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder, damage_of, files_below, output_path, read_each, read_json
from likewise.io.annotations.outlines import polygons_of
from likewise.io.annotations.shapes import Polygons, Ring, ShapeError, ring_of
from likewise.io.atomic import write_atomically

NAMES = ("class", "label", "category", "type", "name")
"""Properties of a feature that may hold its class, after QuPath's ``classification``."""

UNNAMED = "object"


def read(path: Path, finder: ImageFinder, document: Any = None) -> Annotations:
    """Return the image of a file, or those of all .geojson files in a folder. The image has the stem of its file."""
    files = [path] if path.is_file() else files_below(path, ".geojson")
    return Annotations.of(read_each(files, lambda file: _read_image(file, finder, document)), "geojson")


def _read_image(path: Path, finder: ImageFinder, document: Any) -> AnnotatedImage:
    document = read_json(path) if document is None else document
    features = document if isinstance(document, list) else document.get("features", [document])
    if isinstance(document, dict) and document.get("crs"):
        raise DataSetError(f"{path}: is in units of a map (its crs); GeoJSON is read in pixels, as QuPath writes it")
    objects, left_out = [], 0
    with damage_of(path, "GeoJSON", "a feature"):
        for feature in features:
            geometry = feature["geometry"] or {"type": None}
            if geometry["type"] not in ("Polygon", "MultiPolygon"):
                left_out += 1
                continue
            coordinates = geometry["coordinates"]
            parts = coordinates if geometry["type"] == "MultiPolygon" else [coordinates]
            try:
                rings = tuple(
                    tuple(ring_of(number for point in ring for number in point[:2]) for ring in part) for part in parts
                )
            except ShapeError:
                left_out += 1
                continue
            properties = feature.get("properties") or {}
            score = properties.get("score")
            score = float(score) if isinstance(score, int | float) else None
            objects.append(Object(_class_name(properties), Polygons(rings), score))
    if left_out:
        warn(f"{path}: {left_out} points or lines, or shapes without numbers, have no area, and are left out")
    image = finder.of_stem(path)
    own = path.relative_to(finder.root) if path.is_relative_to(finder.root) else Path(path.name)
    name = finder.name_of(image) if image else own.with_suffix(".tif").as_posix()
    return AnnotatedImage(name, tuple(objects), image)


def _class_name(properties: dict[str, Any]) -> str:
    given = properties.get("classification")
    if isinstance(given, dict) and given.get("name"):
        return str(given["name"])
    return next((str(properties[name]) for name in NAMES if isinstance(properties.get(name), str)), UNNAMED)


def write(images: Iterable[AnnotatedImage], classes: tuple[str, ...], folder: Path, tolerance: float) -> None:
    """Write a file for each image, in pixels. Boxes become polygons, and crowds objects."""
    for image in images:
        features = [(one.class_name, one.score, polygons_of(image, one, tolerance)) for one in image.objects]
        write_features(output_path(folder, image.name, ".geojson"), features)


def write_features(
    path: Path,
    features: Iterable[tuple[str, float | None, Polygons]],
    place: Callable[[Ring], Ring] = lambda ring: ring,
    epsg: int | None = None,
) -> None:
    """Write the class, the score and the polygons of each object.

    Args:
        place: Returns the place on the map of corners in pixels.
        epsg: The code of the map's coordinate system.

    Raises:
        OutputError: The system refuses to write.
    """
    system = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    head = {"type": "FeatureCollection"} | ({"crs": system} if epsg else {})
    with write_atomically(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps(head)[:-1]}, "features": [')
        for index, (name, score, polygons) in enumerate(features):
            rings = [[[*place(ring), place(ring)[0]] for ring in part] for part in polygons.parts]
            coordinates = [[[[float(x), float(y)] for x, y in ring] for ring in part] for part in rings]
            feature = {
                "type": "Feature",
                "properties": {"class": name} | ({} if score is None else {"score": round(score, 4)}),
                "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
            }
            file.write(f"{',' * (index > 0)}\n{json.dumps(feature)}")
        file.write("\n]}\n")
