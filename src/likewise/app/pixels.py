"""Images as the page shows them: upright JPEGs of bounded size; thumbnails are kept on disk."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.app.photos import CACHE, Photo
from likewise.app.project import Project
from likewise.errors import OutputError
from likewise.io.atomic import write_atomically
from likewise.io.images import Source, read_scaled

THUMBNAILS = "thumbnails"
"""Folder in the cache."""
THUMBNAIL = 256
"""Pixels of the long side of a thumbnail."""
LARGEST = 4096
"""Pixels of the long side of an image at most."""


def read_small(source: Source, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the upright image with at most `side` pixels on its long side; a JPEG is decoded at about that size.

    Raises:
        ImageError: it cannot be read.
    """
    small = Image.fromarray(read_scaled(source, side).pixels)
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    return np.array(small)


def jpeg(project: Project, photo: Photo, side: int) -> bytes:
    """Return an image as JPEG, its long side at most `side`.

    Raises:
        ImageError: it cannot be read.
    """
    buffer = io.BytesIO()
    quality = 80 if side <= THUMBNAIL else 90
    Image.fromarray(read_small(project.path(photo), side)).save(buffer, format="jpeg", quality=quality)
    return buffer.getvalue()


def thumbnail(project: Project, photo: Photo) -> bytes:
    """Return the thumbnail of an image, from the disk if it is there.

    Raises:
        ImageError: the image cannot be read.
    """
    path = project.folder / CACHE / THUMBNAILS / thumbnail_name(photo)
    try:
        return path.read_bytes()
    except OSError:
        content = jpeg(project, photo, THUMBNAIL)
    with contextlib.suppress(OutputError), write_atomically(path, sync=False) as part:
        part.write_bytes(content)
    return content


def thumbnail_name(photo: Photo) -> str:
    return f"{photo.id}-{photo.version}.jpg"


def drop_old_thumbnails(project: Project) -> None:
    """Delete the thumbnails of images that have changed or gone."""
    folder = project.folder / CACHE / THUMBNAILS
    current = {folder / thumbnail_name(photo) for photo in project.present()}
    for path in set(folder.iterdir()) - current if folder.is_dir() else ():
        path.unlink(missing_ok=True)
