"""Files of a data set on disk: its home folder, its lists, its images in order, and how many entries are present."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from likewise.errors import DataSetError
from likewise.io.paths import IMAGE_SUFFIXES, pairing_key, visible_entries

LABEL_SUFFIXES = (".png", ".tif", ".tiff")
"""Lossless formats of label maps and masks."""


@dataclass(frozen=True)
class Presence:
    """Number of listed entries of a data set, and the names of those that are not on disk."""

    of: str
    listed: int
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.listed - len(self.missing)} of {self.listed} entries of {self.of} are present"


def find_home(root: Path | str, candidates: Sequence[str], needs: Sequence[str], noun: str) -> Path:
    """Return the first `root`/candidate that holds every file or folder of `needs`."""
    root = Path(root)
    if not root.is_dir():
        raise DataSetError(f"{noun}: the folder {root} does not exist")
    for candidate in candidates:
        if all((root / candidate / need).exists() for need in needs):
            return root / candidate
    places = ", ".join(str(root / candidate) for candidate in candidates)
    raise DataSetError(f"{root} does not hold {noun}: looked for {' and '.join(needs)} in {places}")


def folder_like(folder: Path, names: Iterable[str]) -> Path:
    """Return the folder; if it is absent and called one of `names`, the only one beside it that is called another."""
    if folder.is_dir() or folder.name.lower() not in names or not folder.parent.is_dir():
        return folder
    others = [place for place in folders_in(folder.parent) if place.name.lower() in names]
    return others[0] if len(others) == 1 else folder


def folders_in(folder: Path) -> list[Path]:
    """Return the visible folders directly in `folder`, in natural order."""
    return [path for path in visible_entries(folder) if path.is_dir()]


def images_in(folder: Path) -> list[Path]:
    """Return the visible image files directly in `folder`, in natural order."""
    return [path for path in visible_entries(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def images_by_folder(folder: Path) -> dict[str, Path]:
    """Return the image files of each folder in `folder` by "<folder>/<stem>", in natural order."""
    return {f"{inner.name}/{path.stem}": path for inner in folders_in(folder) for path in images_in(inner)}


def labels_by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Return the label map of each stem: its PNG, or its TIFF if it has no PNG."""
    found: dict[str, Path] = {}
    for path in files:
        other = found.get(path.stem)
        if path.suffix.lower() == ".png" or (other is None and path.suffix.lower() in LABEL_SUFFIXES):
            found[path.stem] = path
    return found


def images_by_stem(files: Iterable[Path], labels: Mapping[str, Path]) -> dict[str, Path]:
    """Return the image of each stem, under the stem of its label map where the two are spelled differently.

    Case and the Unicode normal form do not matter. A file that is a label map is no image.
    """
    spelled = {pairing_key(stem): stem for stem in labels}
    images = {spelled.get(pairing_key(path.stem), path.stem): path for path in files if path not in labels.values()}
    return images
