"""Which files a person's paths name: images, the masks beside them, and what earlier runs made."""

import glob
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from likewise.errors import ImageError
from likewise.jobs.writers import WRITERS

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp",
    ".gif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm",
})
# fmt: on
MASK_ENDINGS = (".mask.png", "_mask.png")  # x.mask.png and x_mask.png lie beside the image x.*
RECORDS = ".likewise"  # the folder in a run's output that says what is finished
_MADE_ENDINGS = (*MASK_ENDINGS, *(suffix for suffix, _ in WRITERS.values()))


@dataclass(frozen=True)
class ImageFile:
    """An image to segment."""

    path: Path
    name: str  # its path below the folder it was found in, with forward slashes; outputs are named after it


def natural_order(text: str) -> tuple[list[tuple[int, str]], str]:
    """A sorting key that puts img2 before img10."""
    parts = re.split("([0-9]+)", text.casefold())  # every second part is a number
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], text


def find_images(paths: Iterable[str | Path], *, exclude: Iterable[str | Path] = ()) -> list[ImageFile]:
    """The images that files, folders (with all that is below them) and globs (``**`` too) name.

    Order: as the paths are given, within a folder or glob naturally (img2 before img10). An image named
    twice comes once. Files of folders and globs are taken if their suffix is an image's; a file named
    outright always is.

    Left out: hidden files and folders; what `exclude` names (the examples' masks; the output folder where it
    lies below one of the paths); masks and other outputs beside their image (x.mask.png, x_mask.png,
    x.overlay.jpg where an image x.* exists) and in folders that an earlier run has written.

    Raises `ImageError` for a path that does not exist, a glob or folder without an image, and where
    nothing is left.
    """
    left_out = {Path(path).resolve() for path in exclude}
    found: dict[Path, tuple[Path, Path]] = {}  # resolved path: (path, root it was found under)
    texts = [str(path) for path in paths]
    for text in texts:
        for file, root in _candidates(text, left_out):
            resolved = file.resolve()
            if resolved not in found and resolved not in left_out and not is_made(file, root):
                found[resolved] = (file, root)
    if not found:
        raise ImageError(
            f"{', '.join(texts) or 'no path given'}: no image to segment; "
            "examples' masks, masks beside their images and earlier outputs are left out"
        )
    return _named(found.values())


def _candidates(text: str, left_out: set[Path]) -> list[tuple[Path, Path]]:
    """The image files that one path names, each with the root that its name is relative to."""
    path = Path(text)
    if path.is_dir():
        candidates = [(file, path) for file in _walk(path, left_out)]
        if not candidates:
            raise ImageError(f"{text}: no image in this folder; their names must end in .jpg, .png, ...")
    elif path.exists():
        candidates = [(path, path.parent)]
    elif glob.has_magic(text):
        candidates = list(_globbed(text, left_out))
        if not candidates:
            raise ImageError(f"{text}: no image matches; check the pattern")
    else:
        raise ImageError(f"{text}: no such file or folder; check the name")
    return candidates


def _walk(folder: Path, left_out: set[Path]) -> Iterator[Path]:
    """The image files below a folder, naturally sorted, links followed but no folder entered twice."""
    entered = {folder.resolve()}

    def files_below(here: Path) -> Iterator[Path]:
        for entry in visible(here):
            if entry.is_dir():
                resolved = entry.resolve()
                if resolved not in entered and resolved not in left_out:
                    entered.add(resolved)
                    yield from files_below(entry)
            elif entry.suffix.lower() in IMAGE_SUFFIXES:
                yield entry

    return files_below(folder)


def visible(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir(), key=lambda entry: natural_order(entry.name))
    return [entry for entry in entries if not entry.name.startswith(".")]


def _globbed(pattern: str, left_out: set[Path]) -> Iterator[tuple[Path, Path]]:
    """The images that match and those below matching folders; their root ends before the first wildcard."""
    parts = Path(pattern).parts
    root = Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
    above = {root.resolve(), *root.resolve().parents}  # to write beside the images does not leave them out
    # not Path.glob, which takes no absolute pattern
    for match in sorted(glob.glob(pattern, recursive=True), key=natural_order):  # noqa: PTH207
        path = Path(match)
        resolved = path.resolve()
        if not left_out.isdisjoint({resolved, *resolved.parents} - above):
            continue
        if path.is_dir():
            yield from ((file, root) for file in _walk(path, left_out))
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path, root


def is_made(path: Path, root: Path) -> bool:
    """Whether it is a mask or other output beside its image, or an output where a run has written."""
    for ending in _MADE_ENDINGS:
        if path.name.endswith(ending):
            stem = path.name[: -len(ending)]
            break
    else:
        return False
    suffixes = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    if any((path.parent / f"{stem}{suffix}").is_file() for suffix in suffixes):
        return True
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    return any((folder / RECORDS).is_dir() for folder in folders)


def _named(found: Iterable[tuple[Path, Path]]) -> list[ImageFile]:
    """Names relative to the roots; names that meet get as many folders before them as tell them apart."""
    files = [path for path, _ in found]
    whole = [[part.strip(":\\/") for part in (root.resolve() / path.relative_to(root)).parts] for path, root in found]
    depths = [len(path.relative_to(root).parts) for path, root in found]
    while True:
        names = ["/".join(parts[-depth:]).lstrip("/") for parts, depth in zip(whole, depths, strict=True)]
        counts = Counter(names)
        if len(counts) == len(names):
            return [ImageFile(path, name) for path, name in zip(files, names, strict=True)]
        depths = [depth + (counts[name] > 1) for name, depth in zip(names, depths, strict=True)]


def mask_names(image: Path) -> list[Path]:
    """Where the mask of an image is looked for, the first name first."""
    names = [image.with_name(f"{image.stem}{ending}") for ending in MASK_ENDINGS]
    if image.suffix.lower() != ".png":
        names.append(image.with_name(f"{image.stem}.png"))
    return names


def mask_beside(image: Path) -> Path | None:
    """The mask that lies beside an image, if one does."""
    return next((name for name in mask_names(image) if name.is_file()), None)
