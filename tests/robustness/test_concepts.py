"""Each part of a concept's file damaged in each way, one at a time: a `ConceptError`, or a concept like any other."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from likewise import Concept, Example, FewShot
from likewise.errors import ConceptError
from support.damaged_concepts import read_parts
from support.fake_runs import make_hsnet_run

TEXTS = (
    *(
        "",
        "x",
        "0",
        "-1",
        "1e9",
        "NaN",
        "[]",
        "{}",
        "null",
        "true",
        "[null]",
        "[-1]",
        "[99]",
        '["a"]',
        "[[0]]",
        "[0.5]",
    ),
    *("9" * 5000, "[" * 20_000, '["\\u001b[2J"]', '["", ""]', "[0, 0, 0, 0, 0, 0]", '"abc"'),
)
ARRAYS = {
    "empty": lambda a: a[:0],
    "one less": lambda a: a[:-1],
    "one more": lambda a: np.concatenate([a, a[:1]]),
    "an axis more": lambda a: a[None],
    "flat": lambda a: a.reshape(-1),
    "no last": lambda a: a[..., :0],
    "float64": lambda a: a.astype(np.float64),
    "bool": lambda a: a.astype(bool),
    "int64": lambda a: a.astype(np.int64),
    "turned": lambda a: np.ascontiguousarray(a.T),
    "zeros": lambda a: a * 0,
    "negative": lambda a: (a * 0 - 1).astype(a.dtype),
    "largest": lambda a: np.full_like(a, (np.finfo if a.dtype.kind == "f" else np.iinfo)(a.dtype).max),
    "NaN": lambda a: a * np.nan if a.dtype.kind == "f" else a,
    "scalar": lambda a: np.zeros((), a.dtype),
}


@pytest.mark.parametrize("model", ["prototypes-lite0", "panet-lite0", "hsnet"])
def test_each_damage_is_refused_as_a_concept_or_does_not_matter(model, tmp_path, record_property):
    few_shot = FewShot(str(make_hsnet_run(tmp_path)) if model == "hsnet" else model, side=64, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    path = tmp_path / "x.concept"
    few_shot.learn([Example(image, box=(9, 9, 60, 40), class_name=name) for name in "aba"]).save(path)
    header, arrays = read_parts(path)
    variants = [(f"{key} {text[:9]}", {**header, key: text}, arrays) for key in header for text in TEXTS]
    variants += [(f"no {key}", {k: v for k, v in header.items() if k != key}, arrays) for key in header]
    variants += [(f"no {key}", header, {k: v for k, v in arrays.items() if k != key}) for key in arrays]
    with np.errstate(all="ignore"):
        variants += [
            (f"{key} {n}", header, {**arrays, key: f(arrays[key])}) for key in arrays for n, f in ARRAYS.items()
        ]
    whole = path.read_bytes()
    contents = [(name, save({k: np.ascontiguousarray(v) for k, v in a.items()}, h)) for name, h, a in variants]
    contents += [(f"cut at {at}", whole[:at]) for at in (0, 1, 7, 8, 9, 100, 1000, len(whole) // 2, len(whole) - 1)]
    contents += [(f"length {n}", n.to_bytes(8, "little") + whole[8:]) for n in (0, 1, 2**31, 2**63, 2**64 - 1)]
    contents += [("json", json.dumps(header).encode()), ("zip", b"PK\3\4" + whole), ("nul", bytes(4096))]
    wrong = [f"{name}: {reason}" for name, content in contents if (reason := outcome(few_shot, path, content, image))]
    record_property("tried", len(contents))
    record_property("wrong", len(wrong))
    assert not wrong, f"{len(wrong)} of {len(contents)}: {wrong[:3]}"


def outcome(few_shot: FewShot, path: Path, content: bytes, image: np.ndarray) -> str:
    """Why a file is treated wrongly; empty if it is not."""
    path.write_bytes(content)
    try:
        result = few_shot.segment(image[:32, :32], Concept.load(path))
    except ConceptError as error:
        return "" if len(str(error)) < 2000 else "a message without end"
    except Exception as error:
        return repr(error)[:200]
    return "" if np.isfinite(result.probability).all() else "probabilities that are not finite"
