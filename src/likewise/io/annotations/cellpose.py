"""cellpose's ``x_seg.npy`` and maps of object ids.

https://cellpose.readthedocs.io/en/latest/outputs.html
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from likewise.errors import DataSetError
from likewise.io.annotations.dataset import AnnotatedImage, Annotations, Object
from likewise.io.annotations.files import ImageFinder
from likewise.io.annotations.shapes import encode_values
from likewise.io.paths import IMAGE_SUFFIXES, MASK_SUFFIXES, pairing_key, visible_entries
from likewise.io.stored_values import stored_values

CELL = "cell"
"""The class of the objects."""

ENDINGS = ("_seg", "_cp_masks", "_masks", ".instance")
"""Endings of the stem of a file of ids."""

_ALLOWED = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}  # fmt: skip
"""What a pickle of numbers needs. Nothing else is called, so reading a file runs no foreign code."""


class _Numbers(pickle.Unpickler):
    """Reads pickles of dicts, lists, texts and arrays of numbers only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it contains {module}.{name}")
        return super().find_class(module, name)


def read(path: Path, finder: ImageFinder) -> Annotations:
    """Return the image of a file of ids, or those of all ``x_seg.npy`` (or else ``x_cp_masks``) in a folder."""
    files = [path] if path.is_file() else id_files(path)
    return Annotations([_read_image(file, finder) for file in files], (CELL,), "cellpose")


def id_files(folder: Path) -> list[Path]:
    """Return the files of ids in a folder, one for each image."""
    found: dict[str, Path] = {}
    for ending, suffixes in (("_seg", (".npy",)), ("_cp_masks", MASK_SUFFIXES), (".instance", (".png",))):
        for file in visible_entries(folder):
            if file.stem.lower().endswith(ending) and file.suffix.lower() in suffixes:
                found.setdefault(pairing_key(file.stem[: -len(ending)]), file)
    return list(found.values())


def _read_image(path: Path, finder: ImageFinder) -> AnnotatedImage:
    ids = read_ids(path)
    stem = next((path.stem[: -len(end)] for end in ENDINGS if path.stem.lower().endswith(end)), path.stem)
    own = finder.of_stem(path.with_name(f"{stem}{path.suffix}"))
    image = own if own != path else None
    objects = tuple(Object(CELL, shape) for shape in encode_values(ids).values())
    name = image.name if image else f"{stem}{path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else '.png'}"
    return AnnotatedImage(name, objects, image, (ids.shape[0], ids.shape[1]))


def read_ids(path: Path) -> np.ndarray:
    """Return the map of ids, 0 where there is no object.

    Raises:
        DataSetError: The file holds no map of whole numbers, or Python objects beside it.
    """
    ids = _unpickled(path) if path.suffix.lower() == ".npy" else stored_values(path).values
    if ids.ndim != 2 or (ids.dtype.kind not in "biu" and not np.array_equal(ids, np.rint(ids))):
        raise DataSetError(
            f"{path}: its masks are {ids.shape} {ids.dtype}; needed are ids (height, width) of one image"
        )
    return ids.astype(np.int64)


def _unpickled(path: Path) -> np.ndarray:
    try:
        content = path.read_bytes()
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        _, _, dtype = read_header(file)
        if not dtype.hasobject:
            return np.load(io.BytesIO(content), allow_pickle=False)
        return np.asarray(_Numbers(file).load().item()["masks"])
    except (OSError, ValueError, KeyError, AttributeError, IndexError, EOFError, pickle.UnpicklingError) as error:
        raise DataSetError(
            f"{path}: no file of cellpose, or damaged ({error}); save the masks alone, as x_cp_masks.png"
        ) from error
