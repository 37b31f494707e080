"""A folder of existing saliency maps, one for each image."""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32
from PIL import Image

from likewise.errors import ImageError
from likewise.io.digests import stamp_of
from likewise.io.images import read_size
from likewise.io.opening import format_size, open_file
from likewise.io.paths import IMAGE_SUFFIXES, ImageFile, Listings

NAMED = 8
"""Maps that an error message lists."""
ENDINGS = ((".probability", ".png"), (".mask", ".png"), *(("", suffix) for suffix in sorted(IMAGE_SUFFIXES)))
"""Endings of the map of `a/x.jpg`: `a/x.probability.png` of `likewise saliency`, `a/x.png`, `a/x.jpg`, ..."""


class MapFolder:
    """Saliency maps by the names of their images: 8- or 16-bit grey images, or floats in [0, 1] or [0, 255].

    Args:
        folder: the maps, named as the images are in their own folder, subfolders included.

    Raises:
        ImageError: the folder does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder, self.listings = Path(folder), Listings()
        if not self.folder.is_dir():
            raise ImageError(f"{self.folder}: there is no such folder of saliency maps")

    def find(self, name: str) -> Path | None:
        """The map file of the image with that name, or None."""
        place = self.folder / PurePosixPath(name).with_suffix("")
        for ending, suffix in ENDINGS:
            for file in self.listings.named(place.parent, place.name + ending):
                if file.suffix.lower() == suffix:
                    return file
        return None

    def check(self, images: Iterable[ImageFile]) -> None:
        """Raise one `ImageError` that lists every image whose map is missing, unreadable or of another size.

        An image that cannot be read itself is skipped here; reading it raises.
        """
        wrong = []
        for image in images:
            own = upright_size(image.path)
            path = self.find(image.name)
            found = None if path is None else upright_size(path)
            if path is None:
                wrong.append(f"{image.name} has no map")
            elif found is None:
                wrong.append(f"{path.name} cannot be read")
            elif own is not None and own != found:
                wrong.append(f"{path.name} is {format_size(*found)}, its image {format_size(*own)}")
        if wrong:
            more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            raise ImageError(
                f"{self.folder}: {len(wrong)} of the saliency maps do not fit their images: "
                f"{'; '.join(wrong[:NAMED])}{more}. A map has the name of its image, as x.png for x.jpg, and its size"
            )

    def map_at(self, name: str, side: int) -> Float32[np.ndarray, "side side"]:
        """The map of the image with that name, in [0, 1], at `side` x `side` pixels.

        Raises:
            ImageError: the map does not exist or cannot be read.
        """
        path = self.find(name)
        if path is None:
            raise ImageError(f"{name}: no saliency map in {self.folder}")
        image = open_file(path).image
        whole, grey = image.mode.startswith("I"), image.mode in ("L", "F")
        values = np.array(image if whole or grey else image.convert("L"), np.float32)
        if image.mode != "F":
            values /= 65535 if whole else 255
        elif values.max() > 1:
            values /= 255
        shrunk = np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BILINEAR))
        return shrunk.clip(0, 1)

    def digest(self, images: Iterable[ImageFile]) -> str:
        """Sixteen hexadecimal digits that change with the map files' names, sizes and times."""
        digest = hashlib.sha256()
        for image in images:
            path = self.find(image.name)
            stamp = path and stamp_of(path)
            digest.update(repr((image.name, stamp and (stamp.size, stamp.mtime_ns))).encode())
        return digest.hexdigest()[:16]


def upright_size(path: Path) -> tuple[int, int] | None:
    """Height and width of the upright image; None if it cannot be read."""
    try:
        return read_size(path)[0]
    except ImageError:
        return None
