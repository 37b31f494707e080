"""What a concept's file must hold: the types of its header, and sizes that agree with each other.

A file is checked once, when it is loaded. Messages are the reason of a `ConceptError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from likewise.io.labels import MOST_CLASSES
from likewise.io.resize import LARGEST_SIDE

FORMAT = 1
"""The version of the file format; files of a later version are refused."""
THUMBNAIL = 96
"""The side of a thumbnail in pixels."""
LARGEST_VALUE = 65504.0
"""The largest number of half precision; sums of products of larger ones could become infinite."""

LONGEST = 1000
"""The largest number of letters in the name of a model or backbone."""
TEXTS = ("model", "backbone", "fingerprint")
DTYPES = ("float16", "float32", "int16", "int32")


def parse_fields(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the fields of a concept from its file's header and arrays.

    Raises:
        ValueError: A later format, or a field that is missing, has another type or does not fit the others.
    """
    if (found := _number(header, "format")) != FORMAT:
        raise ValueError(f"it has format {found}, not {FORMAT}")
    fields: dict[str, Any] = {
        **{name: _text(header, name) for name in TEXTS},
        "side": _number(header, "side"),
        "classes": _list(header, "classes", str),
        "class_of": _list(header, "class_of", int),
        "names": _list(header, "names", str),
        "rows": {name.removeprefix("rows."): array for name, array in arrays.items() if name != "thumbnails"},
        "thumbnails": arrays.get("thumbnails", np.zeros(0)),
    }
    _check_sizes(**{name: value for name, value in fields.items() if name not in TEXTS})
    return fields


def _check_sizes(
    side: int,
    classes: Sequence[str],
    class_of: Sequence[int],
    names: Sequence[str],
    rows: Mapping[str, np.ndarray],
    thumbnails: np.ndarray,
) -> None:
    count = len(class_of)
    if not 1 <= side <= LARGEST_SIDE:
        raise ValueError(f"side is {side}, not 1 to {LARGEST_SIDE}")
    if not 1 <= len(classes) <= MOST_CLASSES or len(set(classes)) < len(classes) or not all(classes):
        raise ValueError(f"it has {len(classes)} classes, not 1 to {MOST_CLASSES} with different names")
    if set(class_of) != set(range(len(classes))):
        raise ValueError(f"class_of does not name each of the {len(classes)} classes, and only these")
    if len(names) != count:
        raise ValueError(f"it has {len(names)} names for {count} examples")
    if thumbnails.dtype != np.uint8 or thumbnails.shape != (count, THUMBNAIL, THUMBNAIL, 3):
        raise ValueError(f"thumbnails are {thumbnails.dtype} {thumbnails.shape} for {count} examples")
    if not rows:
        raise ValueError("it has no rows")
    for name, row in rows.items():
        if row.dtype.name not in DTYPES or row.shape[:1] != (count,):
            raise ValueError(f"'rows.{name}' is {row.dtype} {row.shape} for {count} examples")
        if row.dtype.kind == "f" and not (np.abs(row) <= LARGEST_VALUE).all():
            raise ValueError(f"'rows.{name}' holds NaN, infinity or a number above {LARGEST_VALUE:g}")


def check_rows(rows: Mapping[str, np.ndarray], needed: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a `ValueError` unless the rows have these names, a floating type and this shape for each example.

    Counts of examples and weights are positive.
    """
    if missing := sorted(needed.keys() - rows.keys()):
        raise ValueError(f"it lacks {missing[0]!r}")
    for name, shape in needed.items():
        if rows[name].shape[1:] != shape or rows[name].dtype.kind != "f":
            raise ValueError(f"{name!r} is {rows[name].dtype} {rows[name].shape[1:]}, not {shape}, for each example")
        if name.endswith(("count", "weights")) and not (rows[name] > (0.5 if name == "count" else 0)).all():
            raise ValueError(f"{name!r} is not positive")


def _field(header: Mapping[str, str], name: str) -> str:
    if not header.get(name):
        raise ValueError(f"its header lacks {name!r}")
    return header[name]


def _text(header: Mapping[str, str], name: str) -> str:
    text = _field(header, name)
    if len(text) > LONGEST:
        raise ValueError(f"{name} has {len(text)} letters")
    return text


def _number(header: Mapping[str, str], name: str) -> int:
    text = _field(header, name)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{name} is {text[:40]!r}, not a number")
    return int(text)


def _list(header: Mapping[str, str], name: str, kind: type) -> tuple[Any, ...]:
    try:
        values = json.loads(_field(header, name))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"{name} is not a list of {kind.__name__}")
    return tuple(values)
