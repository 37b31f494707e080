"""Masks of a project as files, and as the PNGs of the API: 8-bit grey, the class id of each pixel."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from likewise.errors import ImageError
from likewise.io.atomic import write_atomically
from likewise.io.opening import format_size

Labels = UInt8[np.ndarray, "h w"]

LARGEST_MASK = 64 << 20
"""Bytes of an uploaded mask PNG."""


class MaskFiles:
    """Label maps in a folder. A file is named by its content and never changes, so history can refer to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, labels: Labels) -> str:
        """Return the name of a label map, after it is safely on disk."""
        content = encode_png(labels)
        name = hashlib.sha256(content).hexdigest()[:16]
        path = self.folder / f"{name}.png"
        if not path.is_file():
            with write_atomically(path) as part:
                part.write_bytes(content)
        return name

    def get(self, name: str) -> Labels:
        """Return a label map.

        Raises:
            ImageError: the file is missing or damaged.
        """
        path = self.folder / f"{name}.png"
        try:
            return np.array(Image.open(path, formats=("PNG",)))
        except OSError as error:
            raise ImageError(f"{path}: the mask cannot be read ({error}); undo the step, or draw it again") from error


def digest_of(labels: Labels) -> bytes:
    """Return a digest of the pixels of a label map; it does not depend on the format of a file."""
    return hashlib.blake2b(labels.tobytes(), digest_size=8).digest()


def encode_png(labels: Labels) -> bytes:
    """Return the bytes of a mask PNG."""
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def decode_png(content: bytes, size: tuple[int, int]) -> Labels:
    """Return the label map in an uploaded mask PNG.

    Args:
        size: Height and width that it must have.

    Raises:
        ImageError: No PNG, damaged, or of another size.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if (image.height, image.width) != size:  # before it is decoded
                raise ImageError(
                    f"the mask is {format_size(image.height, image.width)}; needed is {format_size(*size)}"
                )
            values = np.asarray(image if image.mode in ("L", "P") else image.convert("RGB"))
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost any type on damaged data
        raise ImageError(f"the mask is not a readable PNG ({error}); send 8-bit grey PNG") from error
    return np.ascontiguousarray(values if values.ndim == 2 else values[..., 0])
