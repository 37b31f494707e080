"""What every loader shares: finding a data set under a root, reading its lists, and saying what is missing."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from likewise.errors import DataSetError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Presence:
    """How many of the entries that a list names are on disk; `missing` holds the names of the others."""

    of: str
    listed: int
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.listed - len(self.missing)} of {self.listed} entries of {self.of} are present"


def known(given: str | int, names: Iterable[str | int], what: str) -> None:
    """Raise `DataSetError` with the nearest right name unless `given` is one of `names`."""
    names = list(names)
    if given in names:
        return
    near = difflib.get_close_matches(str(given).lower(), [str(n).lower() for n in names], n=1, cutoff=0.5)
    nearest = [str(n) for n in names if near and str(n).lower() == near[0]]
    hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
    listed = ", ".join(map(str, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    raise DataSetError(f"there is no {what} {given!r}{hint}. Known: {listed}")


def find_home(root: Path | str, candidates: Sequence[str], needs: Sequence[str], what: str) -> Path:
    """The first of `root`/candidate that holds every file or folder of `needs`.

    Raises `DataSetError` that says what was looked for and where.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataSetError(f"{what}: the folder {root} does not exist")
    for candidate in candidates:
        if all((root / candidate / need).exists() for need in needs):
            return root / candidate
    places = ", ".join(str(root / candidate) for candidate in candidates)
    raise DataSetError(f"{root} does not hold {what}: looked for {' and '.join(needs)} in {places}")


def read_list(path: Path) -> list[str]:
    """The non-empty lines of a list file; raises `DataSetError` if there is no such file."""
    if not path.is_file():
        raise DataSetError(f"there is no list file {path}")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which "2.jpg" comes before "10.jpg"."""
    runs = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(run), "") if run.isdecimal() else (1, 0, run) for run in runs)


def images_in(folder: Path) -> list[Path]:
    """Every image file directly in `folder`, in natural order of its name."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(found, key=lambda p: natural(p.name))


def folders_in(folder: Path) -> list[Path]:
    """Every folder directly in `folder`, hidden ones left out, in natural order."""
    found = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted(found, key=lambda p: natural(p.name))
