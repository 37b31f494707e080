"""Runs of `process_images` in tests: a threshold in place of a model, and the files that come out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from likewise.io.images import ScaledImage
from likewise.io.paths import ImageFile
from likewise.jobs.pipeline import Report, process_images
from likewise.predict.result import Result


def bright(image: ScaledImage, file: ImageFile | None = None) -> Result:
    """Return the pixels above the middle grey, in place of a model."""
    labels = (image.pixels[..., 0] > 127).astype(np.uint8)
    return Result(labels, labels.astype(np.float32), ("bright",), None, (0.5,))


def run(images: list[ImageFile], segment: Callable[..., Any] = bright, **options: Any) -> Report:
    options = {"formats": ("mask", "coco"), "classes": ("bright",), "settings": {"model": "panet"}} | options
    return process_images(images, segment, options.pop("out", "out"), **options)


def files_of(out: str = "out") -> set[str]:
    return {path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file()}


def never(image: ScaledImage, file: ImageFile) -> Result:
    raise AssertionError("an image is processed")
