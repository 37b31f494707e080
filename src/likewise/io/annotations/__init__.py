"""Annotations of other tools, in and out: one module for each format.

    annotations = read_annotations("annotations.json")
    write_annotations(annotations, "yolo/", "yolo")

The tools' own libraries are not used to read: they bring OpenCV, pandas or a graphical interface with them. Run lengths
are coded by pycocotools, a dependency anyway. The tests open each written format with the tool that owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from likewise.errors import DataSetError, check_known, first_of, warn
from likewise.io.annotations import cellpose, coco, cvat, geojson, label_studio, labelme, masks, voc, yolo
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object, ObjectMask
from likewise.io.annotations.files import ImageFinder, files_below, json_format, read_json, read_xml, safe_name
from likewise.io.annotations.outlines import TOLERANCE
from likewise.io.annotations.shapes import Bitmap, Box, Polygons, RunLengths
from likewise.io.class_lists import LEGEND
from likewise.io.paths import ANNOTATION_SUFFIXES, OUTPUT_SUFFIXES, Listings, pairing_key, visible_entries

__all__ = [
    "FORMATS", "AnnotatedImage", "Annotations", "Bitmap", "Box", "Object", "ObjectMask", "Polygons", "RunLengths",
    "annotation_of", "find_format", "read_annotations", "read_image_annotation", "write_annotations",
]  # fmt: skip

Writer = Callable[[Iterable[AnnotatedImage], tuple[str, ...], Path, float], None]

FORMATS: dict[str, tuple[str, Writer]] = {
    "coco": ("coco.json", coco.write),
    "yolo": ("yolo", yolo.write),
    "voc": ("voc", voc.write),
    "labelme": ("labelme", labelme.write),
    "cvat": ("cvat.xml", cvat.write),
    "label-studio": ("label-studio.json", label_studio.write),
    "geojson": ("", geojson.write),
    "mask": ("", masks.write),
    "instance": ("", masks.write_instances),
    "table": ("objects.csv", masks.write_table),
    "parquet": ("objects.parquet", masks.write_parquet),
}
"""Format to the name of its file or folder below an output folder, and its writer; "" where it has a file an image."""

READERS: dict[str, Callable[[Path, ImageFinder], Annotations]] = {
    "coco": coco.read,
    "yolo": yolo.read,
    "voc": voc.read,
    "labelme": labelme.read,
    "cvat": cvat.read,
    "label-studio": label_studio.read,
    "geojson": geojson.read,
    "cellpose": cellpose.read,
    "mask": masks.read,
}

OF_ALL = ("coco", "label-studio", "cvat")
"""Formats with one file for all images."""

SNIFFED = 20
"""JSON files in subfolders that are opened to recognise labelme."""

NAMED = 8
"""Absent images that a warning lists."""


def read_annotations(path: str | Path, *, images: str | Path | None = None, format: str | None = None) -> Annotations:
    """Return the annotated images of a file or folder. Images that are absent are counted and listed in a warning.

    Args:
        path: A file of COCO, labelme, Label Studio, GeoJSON, CVAT, VOC, YOLO (data.yaml or one .txt) or cellpose; or a
            folder of them, or of images with masks.
        images: The folder of the images; None searches beside the annotations.
        format: A name of `READERS`; None recognises it.

    Raises:
        DataSetError: The format is unknown, the file is damaged (the message names the format that it looks like and
            what is missing), or a file name leads out of the folder.
    """
    path = Path(path)
    if not path.exists():
        raise DataSetError(f"{path}: no such file or folder; check the name")
    if format is None:
        recognised = find_format(path) or (("mask", path) if path.is_dir() else None)
        if recognised is None:
            raise unknown_format(path)
        format, path = recognised
    check_known(format, READERS, "annotation format")
    finder = ImageFinder(path if path.is_dir() else path.parent, None if images is None else Path(images))
    try:
        found = READERS[format](path, finder)
    except DataSetError as error:
        raise (refused_in(path) if format == "mask" else None) or error from None
    if absent := found.absent:
        warn(
            f"{path}: {len(absent)} of {len(found)} images are not there: {first_of(absent, NAMED)}; name their "
            "folder, or put them there"
        )
    return found


def unknown_format(path: Path) -> DataSetError:
    """Return the error for a file of no known format, with what to do about those that people have."""
    advice = {".zip": "unpack it, and give the folder", ".csv": "no table is read; export as COCO"}
    known = f"known are {', '.join(READERS)}"
    return DataSetError(f"{path}: no known annotation format; {advice.get(path.suffix.lower(), known)}")


def refused_in(folder: Path) -> DataSetError | None:
    """Return why a JSON or XML file in a folder without masks, or in its subfolders, is no annotation file."""
    for file in files_below(folder, ".json", ".xml")[:SNIFFED]:
        try:
            find_format(file)
        except DataSetError as error:
            return error
    return None


def find_format(path: Path) -> tuple[str, Path] | None:
    """Return the name in `READERS` of a file's or folder's format, and the file or folder to read; None if none.

    A folder of masks without a legend or ids has no format.

    Raises:
        DataSetError: A JSON or XML file that is damaged or of an unknown format, or several of them in a folder.
    """
    if path.is_dir():
        return _format_of_folder(path)
    suffix = path.suffix.lower()
    if suffix in (".json", ".geojson"):
        return json_format(read_json(path), path), path
    if suffix == ".xml":
        tag = read_xml(path).tag
        formats = {"annotations": "cvat", "annotation": "voc"}
        if tag not in formats:
            raise DataSetError(f"{path}: XML of neither CVAT nor PASCAL VOC; its root is <{tag}>")
        return formats[tag], path
    if suffix in (".yaml", ".yml", ".txt"):
        return "yolo", path
    return ("cellpose", path) if suffix == ".npy" or path.stem.lower().endswith(cellpose.ENDINGS) else None


def _format_of_folder(folder: Path) -> tuple[str, Path] | None:
    for format, module in (("yolo", yolo), ("voc", voc)):
        if module.is_folder(folder):
            return format, folder
    places = [place for place in (folder, folder / "annotations") if place.is_dir()]
    entries = [entry for place in places for entry in visible_entries(place)]
    known = _formats_of(entries)
    of_all = [found for found in known if found[0] in OF_ALL]
    if not known:  # Roboflow's train/_annotations.coco.json, valid/...
        splits = [place for place in visible_entries(folder) if place.name.lower() in yolo.SPLITS and place.is_dir()]
        of_all = [found for place in splits for found in _formats_of(visible_entries(place)) if found[0] in OF_ALL]
    instances = [found for found in of_all if found[1].name.startswith("instances")]
    of_all = instances or of_all  # COCO's others repeat the images, with key points or parts of scenes
    if len(of_all) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for _, path in of_all)
        raise DataSetError(f"{folder}: holds several annotation files, {names}; name one of them")
    if of_all:
        return of_all[0]
    if labelled := next((found for found in known if found[0] == "labelme"), None):
        return "labelme", labelled[1].parent
    if any(entry.suffix.lower() == ".geojson" for entry in entries):
        return "geojson", folder
    if any(entry.name.lower().endswith("_seg.npy") for entry in entries):
        return "cellpose", folder
    if any(entry.name == LEGEND or entry.name.endswith(OUTPUT_SUFFIXES["instance"]) for entry in entries):
        return "mask", folder
    nested = _formats_of(files_below(folder, ".json")[:SNIFFED])
    return ("labelme", folder) if any(found[0] == "labelme" for found in nested) else None


def _formats_of(entries: Iterable[Path]) -> list[tuple[str, Path]]:
    """Return the formats of the JSON and XML files among these that are not refused."""
    found = []
    for entry in entries:
        if entry.suffix.lower() in (".json", ".xml"):
            with suppress(DataSetError):
                found.append(find_format(entry))
    return [each for each in found if each]


def annotation_of(image: Path, listings: Listings) -> Path | None:
    """Return the annotation file beside an image: x_seg.npy, x.json, x.geojson, x.xml or x.txt; None without one."""
    for stem, suffixes in ((f"{image.stem}_seg", (".npy",)), (image.stem, ANNOTATION_SUFFIXES)):
        files = {file.suffix.lower(): file for file in listings.named(image.parent, stem)}
        for suffix in suffixes:
            if suffix in files:
                return files[suffix]
    return None


def read_image_annotation(path: Path, image: Path) -> Annotations:
    """Return what a file says about one image; the file may be of many images.

    Raises:
        DataSetError: See `read_annotations`; or the file does not name the image.
    """
    recognised = find_format(path)
    if recognised is None:
        raise unknown_format(path)
    if path.suffix.lower() == ".txt":
        return yolo.read_files([(image, image.name, path)], yolo.names_beside(path.parent))
    found = READERS[recognised[0]](path, ImageFinder(image.parent, image.parent))
    own = [each for each in found.images if pairing_key(Path(each.name).name) == pairing_key(image.name)]
    if not own and len(found) == 1:
        own = list(found.images)
    if not own:
        raise DataSetError(f"{path}: names no image {image.name}, but {len(found)} others")
    return replace(found, images=[replace(own[0], image=image)])


def write_annotations(annotations: Annotations, path: str | Path, format: str, *, tolerance: float = TOLERANCE) -> None:
    """Write annotated images in a format of `FORMATS`.

    Args:
        path: A folder; or, for a format of one file, the file.
        tolerance: Distance in pixels by which a polygon may leave the edge of a mask; 0 keeps every corner.

    Raises:
        ArgumentError: An unknown format.
        DataSetError: An image name leads out of the folder, or the format has no room for the classes.
        OutputError: The system refuses to write.
    """
    check_known(format, FORMATS, "annotation format")
    name, write = FORMATS[format]
    path = Path(path)
    for image in annotations.images:
        safe_name(image.name, path)
    one_file = Path(name).suffix
    write(
        annotations.images,
        annotations.classes,
        path if not one_file or path.suffix == one_file else path / name,
        tolerance,
    )
