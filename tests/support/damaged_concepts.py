"""Strategies that damage the file of a concept: its header, its arrays and its bytes."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

NUMBERS = (0, 1, -1, 255, 2**15, 2**31, 2**63, -(2**31), 10**30)
FLOATS = (0.0, -0.0, 1e-8, 4.0, -4.0, 3e4, 6e4, -6e4, 7e4, 1e38, float("nan"), float("inf"))
DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")
TEXTS = ("", "\x1b[2J\x1b]0;owned\x07", "[" * 20_000, "{}", "null", "NaN", "1e999", "9" * 5000, "\ud800", "..", "\0")

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def read_parts(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The header and the arrays of a concept's file."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict


@st.composite
def damaged_files(draw: st.DrawFn, header: dict[str, str], arrays: dict[str, np.ndarray]) -> bytes:
    """The bytes of a concept's file with one to three damages."""
    header, arrays = dict(header), dict(arrays)
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            _damage_header(draw, header)
        else:
            _damage_arrays(draw, arrays)
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, _encodable(header))
    return _damaged_bytes(draw, content) if draw(st.integers(0, 4)) == 0 else content


def _damage_header(draw: st.DrawFn, header: dict[str, str]) -> None:
    name = draw(st.sampled_from([*header, "more"]))
    kind = draw(st.sampled_from(("delete", "text", "odd text", "json", "number", "element")))
    if kind == "delete":
        header.pop(name, None)
    elif kind == "text":
        header[name] = draw(st.text(max_size=12))
    elif kind == "odd text":
        header[name] = draw(st.sampled_from(TEXTS))
    elif kind == "json":
        header[name] = json.dumps(draw(JSON_VALUES))
    elif kind == "number":
        header[name] = str(draw(st.sampled_from(NUMBERS)))
    else:
        header["class_of"] = json.dumps([*_numbers(header.get("class_of", "")), draw(JSON_VALUES)])


def _numbers(text: str) -> list[object]:
    """The list that a field holds; one number if an earlier damage left none."""
    with suppress(ValueError, RecursionError):
        if isinstance(values := json.loads(text), list):
            return values
    return [0]


def _damage_arrays(draw: st.DrawFn, arrays: dict[str, np.ndarray]) -> None:
    name = draw(st.sampled_from(sorted(arrays) or ["more"]))
    array = arrays.get(name, np.zeros((1, 2), np.float32))
    kind = draw(st.sampled_from(("delete", "rename", "dtype", "flat", "cut", "longer", "axis", "turn", "value", "all")))
    if kind in ("delete", "rename"):
        arrays.pop(name, None)
        if kind == "rename":
            arrays[draw(st.sampled_from(("rows.", "rows.x", "thumbnails", "rows.means", "8.plane")))] = array
        return
    with np.errstate(all="ignore"):
        arrays[name] = _damaged_array(draw, kind, array)


def _damaged_array(draw: st.DrawFn, kind: str, array: np.ndarray) -> np.ndarray:
    axis = draw(st.integers(0, max(array.ndim - 1, 0)))
    if kind == "dtype":
        return array.astype(draw(st.sampled_from(DTYPES)))
    if kind == "flat" or not array.size or not array.ndim:
        return array.reshape(-1)
    if kind == "cut":
        return array.take(range(draw(st.integers(0, array.shape[axis] - 1))), axis)
    if kind == "longer":
        return np.concatenate([array, array.take([0], axis)], axis)
    if kind == "axis":
        return np.expand_dims(array, axis)
    if kind == "turn":
        return np.swapaxes(array, axis, -1)
    value = draw(st.sampled_from(FLOATS if array.dtype.kind == "f" else (0, 1, -1, 127, -128, 2**15 - 1)))
    changed = array.copy()
    if kind == "all":
        changed[...] = np.array(value).astype(array.dtype)
    else:
        changed.reshape(-1)[draw(st.integers(0, array.size - 1))] = np.array(value).astype(array.dtype)
    return changed


def _damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    # most of a file is pixels; damages belong to its header
    place = draw(st.integers(0, min(len(content) - 1, 2000)))
    if draw(st.booleans()):
        return content[:place]
    return content[:place] + draw(st.binary(max_size=4)) + content[place + draw(st.integers(0, 4)) :]


def _encodable(header: dict[str, str]) -> dict[str, str]:
    return {name: value.encode("utf-8", "ignore").decode() for name, value in header.items()}
