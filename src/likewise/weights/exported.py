"""Models as files for ONNX Runtime: the bundled ones, and folders of `likewise export`. No torch here.

An exported folder holds `card.json`, `README.md` for people, and one or two `.onnx` files, each with its role:

    backbone          of a few-shot model; the method is numpy (`likewise.predict.heads.prototypes`)
    maps              a saliency network
    vectors, masks    the two passes of a co-saliency network
    scenes            a scene network
    concept           a few-shot model with a concept: for other programs only
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likewise.errors import ModelError, WeightsError
from likewise.io.digests import file_digest
from likewise.weights.names import MODELS

CARD = "card.json"
"""The file that describes an exported folder."""
CARD_FORMAT = 1
"""Version of the card; later ones are refused."""


@dataclass(frozen=True)
class ExportedModel:
    """A model that ONNX Runtime runs.

    Attributes:
        name: of the model, as concepts and records state it.
        method: see `likewise.weights.names.ModelEntry`.
        files: the graphs by their role.
        settings: what the method needs beside the graphs.
        trained_classes: the classes of its training data, where known.
    """

    name: str
    method: str
    files: Mapping[str, Path]
    settings: Mapping[str, Any] = field(default_factory=dict)
    trained_classes: tuple[str, ...] = ()


def find_exported(model: str | Path, methods: Collection[str]) -> ExportedModel | None:
    """Return the graphs of a bundled model or of a folder of `likewise export`; None for any other model.

    Raises:
        ModelError: an exported model of another method.
        WeightsError: a damaged folder; the file and its hash are named.
    """
    entry = MODELS.get(str(model))
    if entry is not None:
        return ExportedModel(str(model), entry.method, entry.onnx) if entry.onnx else None
    folder = Path(model)
    if not (folder / CARD).is_file():
        return None
    found = read_folder(folder)
    if found.method not in methods:
        raise ModelError(
            f"{folder} holds {found.name}, a model of {found.method}; one of {', '.join(methods)} is needed"
        )
    return found


def read_folder(folder: Path) -> ExportedModel:
    """Return the model of an exported folder, its files checked; see `find_exported`."""
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["likewise"] != "export" or card["format"] > CARD_FORMAT:
            raise WeightsError(f"{path}: format {card['format']} of {card['likewise']!r} is unknown; update likewise")
        files = {role: folder / entry["file"] for role, entry in card["graphs"].items()}
        model = ExportedModel(card["model"], card["method"], files, card["settings"], tuple(card["trained_classes"]))
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"{path}: not the card of an exported model ({error!r}); run `likewise export` again"
        ) from error
    for role, file in files.items():
        stated = card["graphs"][role]["sha256"]
        if not file.is_file():
            raise WeightsError(f"{file}: missing, but {path} names it; run `likewise export` again")
        if (digest := file_digest(file)) != stated:
            raise WeightsError(
                f"{file}: damaged or replaced: its SHA-256 is {digest[:16]}..., {path} states {stated[:16]}...; run "
                "`likewise export` again"
            )
    return model
