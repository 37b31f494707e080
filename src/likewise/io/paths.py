"""Find images, masks and earlier outputs among the paths that a user gives."""

import glob
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from likewise.errors import ImageError

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
}
"""Output format to the suffix of its files: ``cat.mask.png`` is the mask of ``cat.jpg``."""

MASK_ENDINGS = (OUTPUT_SUFFIXES["mask"], "_mask.png")
"""Endings of a mask beside its image: ``x.mask.png`` and ``x_mask.png`` belong to the image ``x.*``."""

RECORDS = ".likewise"
"""Folder inside an output folder that records the settings and the finished images of a run."""

_OUTPUT_ENDINGS = tuple(dict.fromkeys((*MASK_ENDINGS, *OUTPUT_SUFFIXES.values())))


@dataclass(frozen=True)
class ImageFile:
    """An image file and the name that its outputs derive from.

    Attributes:
        path: The file.
        name: Path relative to the folder that was searched, with forward slashes.
    """

    path: Path
    name: str


def natural_order(text: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that places img2 before img10 and ignores case."""
    parts = re.split("([0-9]+)", text.casefold())  # text and numbers alternate
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], text


def find_images(paths: Iterable[str | Path], *, exclude: Iterable[str | Path] = ()) -> list[ImageFile]:
    """Return the images at files, in folders (searched recursively) and matching globs (``**`` included).

    Order follows `paths`; files of a folder or glob are in natural order (img2 before img10). Duplicates are dropped.
    Folders and globs contribute files with an image suffix; a file given by name is always taken.

    Skipped are hidden files and folders, everything in `exclude`, and the outputs of earlier runs: files such as
    x.mask.png, x_mask.png or x.overlay.jpg beside an image x.*, or in a folder that a run has written to.

    Raises:
        ImageError: A path does not exist, a folder or glob contains no image, or no image remains.
    """
    excluded = {Path(path).resolve() for path in exclude}
    found: dict[Path, tuple[Path, Path]] = {}  # resolved path: (path, root of its name)
    texts = [str(path) for path in paths]
    for text in texts:
        for file, root in _candidates(text, excluded):
            resolved = file.resolve()
            if resolved not in found and resolved not in excluded and not is_output(file, root):
                found[resolved] = (file, root)
    if not found:
        raise ImageError(
            f"{', '.join(texts) or 'no path given'}: no image found; masks of examples, masks beside images and "
            "outputs of earlier runs are skipped"
        )
    return _named(found.values())


def _candidates(text: str, excluded: set[Path]) -> list[tuple[Path, Path]]:
    """Return the image files at one path, each with the root that its name is relative to."""
    path = Path(text)
    if path.is_dir():
        candidates = [(file, path) for file in _walk(path, excluded)]
        if not candidates:
            raise ImageError(f"{text}: no image in this folder; image names end in .jpg, .png, ...")
    elif path.exists():
        candidates = [(path, path.parent)]
    elif glob.has_magic(text):
        candidates = list(_glob(text, excluded))
        if not candidates:
            raise ImageError(f"{text}: no image matches; check the pattern")
    else:
        raise ImageError(f"{text}: no such file or folder; check the name")
    return candidates


def _walk(folder: Path, excluded: set[Path]) -> Iterator[Path]:
    """Yield the image files below a folder in natural order; links are followed, each folder is entered once."""
    entered = {folder.resolve()}

    def walk(current: Path) -> Iterator[Path]:
        for entry in visible_entries(current):
            if entry.is_dir():
                resolved = entry.resolve()
                if resolved not in entered and resolved not in excluded:
                    entered.add(resolved)
                    yield from walk(entry)
            elif entry.suffix.lower() in IMAGE_SUFFIXES:
                yield entry

    return walk(folder)


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in natural order, without hidden ones."""
    entries = sorted(folder.iterdir(), key=lambda entry: natural_order(entry.name))
    return [entry for entry in entries if not entry.name.startswith(".")]


def _glob(pattern: str, excluded: set[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield matching images and those below matching folders; the root is the path before the first wildcard."""
    parts = Path(pattern).parts
    root = Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
    above = {root.resolve(), *root.resolve().parents}  # an output folder above the matches excludes none of them
    # Path.glob rejects absolute patterns
    for match in sorted(glob.glob(pattern, recursive=True), key=natural_order):  # noqa: PTH207
        path = Path(match)
        resolved = path.resolve()
        if not excluded.isdisjoint({resolved, *resolved.parents} - above):
            continue
        if path.is_dir():
            yield from ((file, root) for file in _walk(path, excluded))
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path, root


def is_output(path: Path, root: Path) -> bool:
    """Return whether a file is a mask or output: beside its image, or in a folder that a run has written to."""
    ending = next((ending for ending in _OUTPUT_ENDINGS if path.name.endswith(ending)), None)
    if ending is None:
        return False
    stem = path.name.removesuffix(ending)
    suffixes = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    if any((path.parent / f"{stem}{suffix}").is_file() for suffix in suffixes):
        return True
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    return any((folder / RECORDS).is_dir() for folder in folders)


def _named(found: Iterable[tuple[Path, Path]]) -> list[ImageFile]:
    """Name files relative to their roots; equal names are extended by parent folders until they differ."""
    files = [path for path, _ in found]
    absolute = [
        [part.strip(":\\/") for part in (root.resolve() / path.relative_to(root)).parts] for path, root in found
    ]
    depths = [len(path.relative_to(root).parts) for path, root in found]
    while True:
        names = ["/".join(parts[-depth:]).lstrip("/") for parts, depth in zip(absolute, depths, strict=True)]
        counts = Counter(names)
        if len(counts) == len(names):
            return [ImageFile(path, name) for path, name in zip(files, names, strict=True)]
        depths = [depth + (counts[name] > 1) for name, depth in zip(names, depths, strict=True)]


def mask_candidates(image: Path) -> list[Path]:
    """Return the paths where the mask of an image may lie, in order of precedence."""
    names = [image.with_name(f"{image.stem}{ending}") for ending in MASK_ENDINGS]
    if image.suffix.lower() != ".png":
        names.append(image.with_name(f"{image.stem}.png"))
    return names


def find_mask(image: Path) -> Path | None:
    """Return the mask beside an image, or None."""
    return next((name for name in mask_candidates(image) if name.is_file()), None)
