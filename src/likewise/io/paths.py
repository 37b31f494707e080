"""Find images, masks and earlier outputs among the paths that a user gives."""

import glob
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likewise.errors import ImageError, warn
from likewise.io.depth import Range
from likewise.io.opening import open_file
from likewise.io.raster import TiffPage

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp",
    ".gif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm",
})
# fmt: on
"""Suffixes of image files, in lower case. `likewise.io.images.FORMATS` lists the formats behind them."""

OUTPUT_SUFFIXES = {
    "mask": ".mask.png",
    "labels": ".labels.png",
    "probability": ".probability.png",
    "overlay": ".overlay.jpg",
    "cutout": ".cutout.png",
    "instance": ".instance.png",
    "geojson": ".geojson",
}
"""Output format to the suffix of its files: ``cat.mask.png`` is the mask of ``cat.jpg``."""

TILED_SUFFIXES = (".mask.tif", ".labels.tif", ".probability.tif")
"""Suffixes of the output files of images in windows (`likewise.jobs.mosaic`)."""

MASK_ENDINGS = (".mask", "_mask", "-mask", "_masks", "_cp_masks", "_label", "_labels", "_seg")
"""Endings of the stem of a mask beside its image: ``x.mask.png`` and ``x_mask.tif`` belong to the image ``x.*``."""

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".npy", ".npz")
"""Suffixes of masks in order of precedence, in lower case: of x.png and x.tif, x.png is the mask of the other. A JPEG
is a mask if one of `MASK_ENDINGS` says so."""

ANNOTATION_SUFFIXES = (".json", ".geojson", ".xml", ".txt")
"""Suffixes of annotation files of one image, in order of precedence."""

# fmt: off
IMAGE_FOLDERS = frozenset({
    "images", "image", "imgs", "img", "img_dir", "jpegimages", "photos", "photo", "rgb", "frames",
    "pictures",  # words: allow
})
# fmt: on
"""Names of a folder of images that has its masks in a sibling folder, in lower case."""

# fmt: off
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "ann_dir", "segmentationclass", "segmentations", "gt",
    "groundtruth", "ground_truth", "segmentationobject",
)
# fmt: on
"""Names of the sibling folder of masks in order of precedence, in lower case."""

SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found"})
"""Files and folders that systems leave, in lower case; those with a dot in front are hidden anyway."""

FLAT = 0.75
"""Fraction of equal horizontal neighbours from which an image of the stem of another one is a mask: a photograph has
less than 0.4, a mask more than 0.9."""

OUTPUT_FOLDER = "voc"
"""Folder inside an output folder with label images in the layout of PASCAL VOC."""

RECORDS = ".likewise"
"""Folder inside an output folder that records the settings and the finished images of a run."""


@dataclass(frozen=True)
class ImageFile:
    """An image file and the name that its outputs derive from.

    Attributes:
        path: The file.
        name: Path relative to the folder that was searched, with forward slashes.
        page: Of a TIFF file, from 0.
        channels, scale: Of a TIFF file: see `likewise.io.raster.TiffPage`.
    """

    path: Path
    name: str
    page: int = 0
    channels: tuple[int, ...] = ()
    scale: Range | None = None

    @property
    def source(self) -> Path | TiffPage:
        """What the image is read from."""
        own = TiffPage(self.path, self.page, self.channels, self.scale)
        return own if own != TiffPage(self.path) else self.path


def natural_order(text: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that places img2 before img10 and ignores case."""
    parts = re.split("([0-9]{1,300})", text.casefold())  # text and numbers alternate; int refuses thousands of digits
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], text


def real(path: str | Path) -> Path:
    """Return the path without links; unlike `Path.resolve` also for a link to itself."""
    return Path(os.path.realpath(path))


def exists(path: str | Path) -> bool:
    """Return whether a file or folder exists; unlike `Path.exists` also for a name that is too long."""
    return os.path.exists(path)  # noqa: PTH110


def find_images(
    paths: Iterable[str | Path], *, exclude: Iterable[str | Path] = (), follow_links: bool = False
) -> list[ImageFile]:
    """Return the images at files, in folders (searched recursively) and matching globs (``**`` included).

    Order follows `paths`; files of a folder or glob are in natural order (img2 before img10). Duplicates are dropped.
    Folders and globs contribute files with an image suffix; a file given by name is always taken.

    Skipped are hidden files and folders, everything in `exclude`, masks, and the outputs of earlier runs: files such as
    x.mask.png, x_mask.png or x.overlay.jpg beside an image x.*, or in a folder that a run has written to; x.png beside
    x.jpg if it looks like a mask; masks/x.png if there is images/x.*. Links that lead
    out of the folder are skipped with a warning unless `follow_links`, unreadable folders always.

    Raises:
        ImageError: A path does not exist, a folder or glob contains no image, or no image remains.
    """
    excluded = {real(path) for path in exclude}
    found: dict[Path, tuple[Path, Path]] = {}  # real path: (path, root of its name)
    texts = [os.path.expanduser(path) for path in paths]  # noqa: PTH111, Path.expanduser fails without a home
    listings = Listings()
    for text in texts:
        outside = 0
        for file, root in _candidates(text, excluded, follow_links):
            resolved = real(file)
            if not follow_links and file != Path(text) and not resolved.is_relative_to(real(root)):
                outside += 1
            elif resolved not in found and resolved not in excluded and not is_output(file, root, listings):
                found[resolved] = (file, root)
        if outside:
            warn(f"{text}: links that lead out of it are skipped: {outside}; --follow-links follows them")
    if not found:
        raise ImageError(
            f"{', '.join(texts) or 'no path given'}: no image found; masks of examples, masks beside images and "
            "outputs of earlier runs are skipped"
        )
    return _named(found.values())


def images_in(folder: str | Path, *exclude: str | Path) -> list[ImageFile]:
    """Return the images of `find_images` in a folder; none if it has none, or is not there."""
    try:
        return find_images([folder], exclude=exclude)
    except ImageError:
        return []


def _candidates(text: str, excluded: set[Path], follow_links: bool) -> list[tuple[Path, Path]]:
    """Return the image files at one path, each with the root that its name is relative to.

    A linked folder out of the root stands for its files unless links are followed.
    """
    path = Path(text)
    if path.is_dir():
        candidates = [(file, path) for file in _walk(path, path, excluded, follow_links)]
        if not candidates:
            raise ImageError(f"{text}: no image in this folder; image names end in .jpg, .png, ...")
    elif path.exists() or path.is_symlink():
        candidates = [(path, path.parent)]
    elif glob.has_magic(text):
        candidates = list(_glob(text, excluded, follow_links))
        if not candidates:
            raise ImageError(f"{text}: no image matches; check the pattern")
    else:
        raise ImageError(f"{text}: no such file or folder; check the name")
    return candidates


def _walk(folder: Path, root: Path, excluded: set[Path], follow_links: bool) -> Iterator[Path]:
    """Yield the image files below a folder in natural order; each folder is entered once.

    A folder that lies outside `root` is yielded itself unless links are followed.
    """
    entered = {real(folder)}

    def walk(current: Path) -> Iterator[Path]:
        for entry in visible_entries(current):
            if entry.is_dir():
                resolved = real(entry)
                if not follow_links and not resolved.is_relative_to(real(root)):
                    yield entry
                elif resolved not in entered and resolved not in excluded:
                    entered.add(resolved)
                    yield from walk(entry)
            elif entry.suffix.lower() in IMAGE_SUFFIXES:
                yield entry

    return walk(folder)


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in natural order, without hidden ones and those of `SYSTEM_NAMES`.

    Warns of an unreadable folder, which has none.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural_order(entry.name))
    except OSError as error:
        warn(f"{folder}: cannot be read ({error.strerror}) and is skipped; check its permissions")
        return []
    return [entry for entry in entries if not is_hidden(entry.name)]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden or left by a system."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def pairing_key(name: str) -> str:
    """Return what names are compared by: case and the Unicode normal form do not matter."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Listings:
    """The files of folders by the `pairing_key` of their stem; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[Path]]] = {}

    def named(self, folder: Path, stem: str) -> list[Path]:
        """Return the visible files of a folder with this stem, in natural order."""
        if folder not in self._folders:
            files: dict[str, list[Path]] = {}
            for entry in visible_entries(folder) if folder.is_dir() else ():
                files.setdefault(pairing_key(entry.stem), []).append(entry)
            self._folders[folder] = files
        return self._folders[folder].get(pairing_key(stem), [])

    def images(self, folder: Path, stem: str) -> list[Path]:
        """Return the images among them."""
        return [file for file in self.named(folder, stem) if file.suffix.lower() in IMAGE_SUFFIXES]


def _glob(pattern: str, excluded: set[Path], follow_links: bool) -> Iterator[tuple[Path, Path]]:
    """Yield matching images and those below matching folders; the root is the path before the first wildcard."""
    parts = Path(pattern).parts
    root = Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
    above = {real(root), *real(root).parents}  # an output folder above the matches excludes none of them
    # Path.glob rejects absolute patterns
    for match in sorted(glob.glob(pattern, recursive=True), key=natural_order):  # noqa: PTH207
        path = Path(match)
        resolved = real(path)
        if not excluded.isdisjoint({resolved, *resolved.parents} - above):
            continue
        if path.is_dir():
            yield from ((file, root) for file in _walk(path, root, excluded, follow_links))
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path, root


def is_output(path: Path, root: Path, listings: Listings | None = None) -> bool:
    """Return whether a file is a mask or output: of an image, or in a folder that a run has written to."""
    listings = listings or Listings()
    suffix = path.suffix.lower()
    output = next(
        (end for end in (*OUTPUT_SUFFIXES.values(), *TILED_SUFFIXES) if path.name.lower().endswith(end)), None
    )
    stems = [path.stem[: -len(end)] for end in MASK_ENDINGS if path.stem.lower().endswith(end)]
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    runs = (
        [folder for folder in folders if (folder / RECORDS).is_dir()] if output or OUTPUT_FOLDER in path.parts else []
    )
    if any(output or path.relative_to(folder).parts[0] == OUTPUT_FOLDER for folder in runs):
        return True
    if output is not None:
        stems.append(path.name[: -len(output)])
    if any(listings.images(path.parent, stem) for stem in stems):
        return True
    if suffix in MASK_SUFFIXES:
        others = listings.images(path.parent, path.stem)
        if any(_rank(suffix) < _rank(other.suffix) for other in others) and looks_like_mask(path):
            return True
    for folder in path.parents:
        if folder == root or root not in folder.parents:
            break
        if folder.name.lower() in MASK_FOLDERS:
            inner = path.parent.relative_to(folder)
            images = [other for other in visible_entries(folder.parent) if other.name.lower() in IMAGE_FOLDERS]
            return any(listings.images(other / inner, stem) for other in images for stem in (path.stem, *stems))
    return False


def looks_like_mask(path: Path) -> bool:
    """Return whether an image has the flat areas of a mask, or the transparent ones of a cutout."""
    try:
        image = open_file(path).image
    except ImageError:
        return False
    if image.mode == "1" or image.has_transparency_data:
        return True
    values = np.asarray(image)
    same = values[:, 1:] == values[:, :-1]
    return not same.size or bool((same if same.ndim == 2 else same.all(axis=2)).mean() > FLAT)


def _named(found: Iterable[tuple[Path, Path]]) -> list[ImageFile]:
    """Name files relative to their roots; equal names are extended by parent folders until they differ."""
    files = [path for path, _ in found]
    absolute = [[part.strip(":\\/") for part in (real(root) / path.relative_to(root)).parts] for path, root in found]
    depths = [len(path.relative_to(root).parts) for path, root in found]
    while True:
        names = ["/".join(parts[-depth:]).lstrip("/") for parts, depth in zip(absolute, depths, strict=True)]
        counts = Counter(names)
        if len(counts) == len(names):
            return [ImageFile(path, name) for path, name in zip(files, names, strict=True)]
        depths = [depth + (counts[name] > 1) for name, depth in zip(names, depths, strict=True)]


def find_mask(image: Path, listings: Listings | None = None) -> Path | None:
    """Return the mask of an image, or None.

    It is next to the image (one of `MASK_ENDINGS`, or the image's stem with another suffix), or in a folder of masks
    that is a sibling of a folder of images: masks/1.png for images/1.jpg, ann_dir/train/1.png for img_dir/train/1.jpg.
    """
    listings = listings or Listings()
    for ending in MASK_ENDINGS:
        if found := _best_mask(listings.named(image.parent, image.stem + ending), image, (*MASK_SUFFIXES, ".jpg")):
            return found
    same_stem = listings.named(image.parent, image.stem)
    beside = [file for file in same_stem if _rank(file.suffix) < _rank(image.suffix) or _is_array(file)]
    if found := _best_mask(beside, image, MASK_SUFFIXES):
        return found
    for folder in image.parents:
        if folder.name.lower() not in IMAGE_FOLDERS:
            continue
        siblings = {entry.name.lower(): entry for entry in visible_entries(folder.parent) if entry.is_dir()}
        inner = image.parent.relative_to(folder)
        for place in (siblings[name] / inner for name in MASK_FOLDERS if name in siblings):
            for ending in ("", *MASK_ENDINGS):
                files = listings.named(place, image.stem + ending)
                if found := _best_mask(files, image, (*MASK_SUFFIXES, *IMAGE_SUFFIXES)):
                    return found
    return None


def _best_mask(files: list[Path], image: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the file other than the image whose suffix comes first in `suffixes`."""
    masks = [file for file in files if file != image and file.suffix.lower() in suffixes]
    return min(masks, key=lambda file: suffixes.index(file.suffix.lower()), default=None)


def _rank(suffix: str) -> int:
    """Return the index of a suffix in `MASK_SUFFIXES`; the lowest of several files of one stem is the mask."""
    suffix = suffix.lower()
    return MASK_SUFFIXES.index(suffix) if suffix in MASK_SUFFIXES else len(MASK_SUFFIXES)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".npz")
