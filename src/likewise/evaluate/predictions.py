"""Prediction files of any program: their names, and reading them with strict checks.

A missing prediction, one of another size than its target and one with an impossible label raise `PredictionError`;
nothing is skipped and nothing is resized.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from likewise.errors import ImageError, PredictionError
from likewise.io.images import format_size, read_image
from likewise.io.labels import IGNORE
from likewise.io.paths import OUTPUT_SUFFIXES

MAP_ENDINGS = (".png", OUTPUT_SUFFIXES["probability"], OUTPUT_SUFFIXES["mask"])
"""Endings of the file that holds the map of an image: the plain name, and those of `saliency` and `cosegment`."""

LISTED_NAMES = 5
"""Number of missing files that a message lists."""


def map_name(folder: Path, image: str) -> str:
    """Return the file name of an image's map in a folder; `<image>.png` if it has none.

    Raises:
        PredictionError: the folder holds several maps of the image.
    """
    present = [f"{image}{ending}" for ending in MAP_ENDINGS if (folder / f"{image}{ending}").is_file()]
    if len(present) > 1:
        raise PredictionError(f"{folder}: {image} has several maps, {' and '.join(present)}; move all but one away")
    return present[0] if present else f"{image}{MAP_ENDINGS[0]}"


def require_files(folder: Path, names: Sequence[str], dataset: str) -> None:
    """Raise `PredictionError` with the first missing names unless every file is in the folder."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - LISTED_NAMES} more" if len(missing) > LISTED_NAMES else ""
        raise PredictionError(
            f"{folder}: {len(missing)} of {len(names)} predictions for {dataset} are missing: "
            f"{', '.join(missing[:LISTED_NAMES])}{more}; scoring needs all of them"
        )


def read_prediction(
    path: Path, size: tuple[int, ...], read: Callable[[Path], np.ndarray], labels: int = IGNORE + 1
) -> UInt8[np.ndarray, "h w"]:
    """Return the prediction in a file.

    Raises:
        PredictionError: an unreadable file, another size than the (h, w) of the target, or a label of `labels` or more.
    """
    try:
        prediction = read(path)
    except ImageError as error:
        raise PredictionError(f"cannot read a prediction: {error}") from error
    if prediction.shape != size:
        raise PredictionError(
            f"{path}: is {format_size(*prediction.shape)}, its target {format_size(size[0], size[1])}; write "
            "predictions at the size of their target"
        )
    if int(prediction.max()) >= labels:
        raise PredictionError(f"{path}: holds label {prediction.max()}; labels are 0 to {labels - 1}")
    return prediction.astype(np.uint8)


def read_grey_map(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return a grey map, black 0 and white 255; 16-bit PNGs are scaled by 65535, not by their brightest pixel."""
    values = read_image(path)[..., 0]
    with Image.open(path) as image:
        if image.format == "PNG" and image.mode in ("I;16", "I"):
            values = np.rint(np.asarray(ImageOps.exif_transpose(image)) / 257).astype(np.uint8)
    return values
