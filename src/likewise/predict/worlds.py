"""Worlds as files: what presence compares a class with (`likewise.ops.presence`). No torch here.

The file is safetensors with the suffix `.world`; its header states the backbone and the images.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from likewise.engine.protocol import FeatureExtractor
from likewise.errors import WeightsError
from likewise.io.atomic import write_atomically
from likewise.io.digests import short_digest
from likewise.ops.presence import World


def save_world(path: str | Path, world: World, extractor: FeatureExtractor, *, images: int, about: str = "") -> None:
    """Write a world in half precision.

    Args:
        extractor: computed the features.
        images: their number.
        about: where they come from, and their licence.
    """
    header = {
        "likewise": "world",
        "backbone": extractor.name,
        "fingerprint": extractor.fingerprint,
        "images": json.dumps(images),
        "about": about,
    }
    arrays = {name: np.ascontiguousarray(part, np.float16) for name, part in world._asdict().items()}
    with write_atomically(path) as part:
        save_file(arrays, part, header)


def load_world(path: str | Path, extractor: FeatureExtractor) -> tuple[World, str]:
    """Return the world in a file, and its digest: sixteen hexadecimal digits.

    Raises:
        WeightsError: a file that does not exist, is no world, is damaged, or belongs to another backbone.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; `likewise world FOLDER -o FILE.world` makes one from your images")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not a world, or a damaged one ({error}); make it again") from error
    if header.get("likewise") != "world":
        raise WeightsError(f"{path}: a safetensors file, but not a world of likewise")
    found = header.get("backbone"), header.get("fingerprint")
    if found != (extractor.name, extractor.fingerprint):
        raise WeightsError(
            f"{path}: a world of backbone {found[0]} with weights {found[1]}, but the model has {extractor.name} with "
            f"weights {extractor.fingerprint}; make one with `likewise world` and the same model"
        )
    channels = extractor.semantic_channels
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {"mean": (channels,), "covariance": (channels, channels)} or not all(
        np.isfinite(array).all() for array in arrays.values()
    ):
        raise WeightsError(f"{path}: a damaged world; make it again")
    return World(**arrays), short_digest(path)
