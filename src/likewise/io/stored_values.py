"""The values of masks, label images and scribbles as files and arrays store them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from likewise.errors import ImageError
from likewise.io.images import is_tensor, tensor_values
from likewise.io.opening import LOSSY, Source, format_size, open_file

MaskSource = Source | Callable[[], np.ndarray]
"""A source of `read_image`, the path of a .npy or .npz file, or a function that returns an array."""


@dataclass(frozen=True)
class StoredValues:
    """The values of a mask as stored.

    Attributes:
        name: For messages.
        values: ``(h w)`` of any type (palette indices for a palette image), or ``(h w 3)`` or ``(h w 4)`` uint8.
        palette: RGBA palette of a palette image.
        lossy: Whether the format may have changed values a little.
    """

    name: str
    values: np.ndarray
    palette: UInt8[np.ndarray, "256 4"] | None = None
    lossy: bool = False


def stored_values(source: MaskSource) -> StoredValues:
    """Return the values of a mask as stored.

    Raises:
        ImageError: The source cannot be read or has another shape.
    """
    name = "the given array"
    if isinstance(source, str | Path) and Path(source).suffix.lower() in (".npy", ".npz"):
        name, source = str(source), read_array(Path(source))
    elif callable(source):
        source = source()
    if is_tensor(source):
        source = tensor_values(source)
    if isinstance(source, np.ndarray):
        plane = source.ndim == 2 and source.dtype.kind in "buif"
        colours = source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8
        if not (plane or colours) or not source.size:
            raise ImageError(
                "a mask array is (height, width) of bool, integers or floats, or (height, width, 3 or 4) uint8; "
                f"{'got' if name == 'the given array' else name + ' has'} shape {source.shape} {source.dtype}"
            )
        return StoredValues(name, source)
    opened = open_file(source)
    name, image, lossy = opened.name, opened.image, opened.format in LOSSY
    if image.mode == "P":
        # 256 rows, so that an index beyond a short palette is black instead of an error
        palette = np.zeros((256, 4), dtype=np.uint8)
        image.apply_transparency()
        stored = np.array(image.getpalette("RGBA") or [], dtype=np.uint8).reshape(-1, 4)
        palette[: len(stored)] = stored
        return StoredValues(name, np.asarray(image), palette, lossy)
    if image.mode in {"1", "L", "F"} or image.mode.startswith("I"):
        values = np.asarray(image)
        return StoredValues(name, 255 - values if opened.inverted else values, None, lossy)
    colours = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return StoredValues(name, np.asarray(colours), None, lossy)


def read_array(path: Path) -> np.ndarray:
    """Return the array in a .npy file, or the only one in a .npz file (or its ``mask``).

    Raises:
        ImageError: The file cannot be read, or holds Python objects or several arrays.
    """
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            names = content.files
            chosen = names[0] if len(names) == 1 else next((name for name in names if name in ("mask", "masks")), None)
            if chosen is not None:
                return content[chosen]
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the name") from None
    except Exception as error:  # zipfile and numpy raise several types on damaged data
        raise ImageError(
            f"{path}: cannot be read as an array ({error}); save it with np.save(path, mask) as numbers or bool"
        ) from error
    raise ImageError(f"{path}: holds several arrays, {', '.join(names)}; name one of them mask")


def check_size(name: str, kind: str, found: tuple[int, ...], size: tuple[int, int] | None) -> None:
    """Raise an `ImageError` unless a mask has the expected size; `kind` names it in the message."""
    if size is None or found == size:
        return
    advice = "draw it on an image of the same size"
    if found == (size[1], size[0]):
        advice = (
            "width and height are swapped: the image has an EXIF rotation that the tool which made "
            f"the {kind} ignored; rotate the {kind} to match the displayed image"
        )
    raise ImageError(
        f"{name}: the {kind} is {format_size(found[0], found[1])}, but its image is {format_size(*size)}; {advice}"
    )


def label_plane(name: str, values: np.ndarray) -> np.ndarray:
    """Return stored values as ``(h w)`` integers."""
    if values.ndim == 3:
        if not is_grey(values[..., :3]):
            raise ImageError(
                f"{name}: labels are the stored values of a palette or greyscale image, and this one is in colour; "
                "save it as a palette PNG whose indices are the labels"
            )
        return values[..., 0]
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.rint(values)):
            raise ImageError(f"{name}: labels are whole numbers, and this image holds fractions")
        return values.astype(np.int64)
    return values.astype(np.uint8) if values.dtype == bool else values


def is_grey(colours: UInt8[np.ndarray, "*axes 3"]) -> bool:
    """Return whether all colours are grey."""
    return bool((colours[..., :1] == colours[..., 1:]).all())


def present_values(values: np.ndarray) -> np.ndarray:
    """Return the distinct values in ascending order."""
    if values.dtype in (np.uint8, np.uint16):  # faster than np.unique, which sorts
        return np.bincount(values.ravel()).nonzero()[0]
    return np.unique(values)


def listed(values: np.ndarray) -> str:
    """Return values for a message."""
    text = ", ".join(str(int(value)) for value in values[:24])
    return f"{text}, ... ({len(values)} in all)" if len(values) > 24 else text
