"""Write tests/browser/golden.json: inputs and outputs of the computations that docs/try repeats in JavaScript.

    python tools/make_browser_golden.py [--check]

The browser's tests compare its numbers with the file, and the file with the Python sources: after a change of a method
that the page uses, change the module in docs/try that repeats it, and run this script.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from likewise.engine.protocol import Features
from likewise.io.resize import resize_image
from likewise.ops.discriminant import class_odds, learn_class
from likewise.ops.prototypes import (
    SupportStatistics,
    probabilities,
    resize_mask,
    support_statistics,
)
from likewise.predict.edges import refine_edges
from likewise.predict.few_shot import FewShot
from likewise.predict.inputs import Inputs
from likewise.predict.selector import SIDE
from likewise.predict.selector_planes import planes_of, seeds_of, view_of

GOLDEN = Path(__file__).parents[1] / "tests/browser/golden.json"
IMAGE = (40, 58)
"""Height and width of the image."""
FEATURES = (12, 6, 8)
"""Channels, height and width of the features."""
INPUT = (48, 64)
"""Height and width of the masks of examples."""
SIZES = ((375, 500), (480, 854), (33, 1000), (1024, 1024), (16, 4000), (700, 300))
"""Heights and widths of images for which the sizes of the networks' inputs are written."""
SELECTOR_INPUT = (96, 128)
"""Height and width of the selector's input."""
MARKED = (75, 100)
"""Height and width of the image that is marked."""
MARKS = (
    {"points": [(50, 40)], "labels": [1], "box": None},
    {"points": [(50, 40), (52, 60), (3, 70), (99, 0)], "labels": [1, 1, 0, 0], "box": None},
    {"points": [], "labels": [], "box": (21, 10, 77, 66)},
    {"points": [(30, 30), (60, 20)], "labels": [1, 0], "box": (20, 11, 90, 75)},
)
"""Marks whose planes are written."""
TOLERANCE = 2e-5
"""Largest difference between processors, relative to the largest value."""


def make() -> dict[str, Any]:
    """Return the file's contents, with arrays."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*IMAGE, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)))
    image = ((image.astype(np.float32) - image.min()) / np.ptp(image) * 255).astype(np.uint8)

    rows, columns = np.mgrid[: INPUT[0], : INPUT[1]]
    blob = np.zeros(FEATURES[1:], np.float32)
    blob[2:5, 3:6] = 1
    shots = []
    for index in range(3):
        features = rng.standard_normal(FEATURES).astype(np.float32) + 0.3
        features += blob * rng.standard_normal((FEATURES[0], 1, 1)).astype(np.float32)
        foreground = (rows - 27) ** 2 + (columns - 35 - 2 * index) ** 2 < (12 + index) ** 2
        background = ~foreground if index < 2 else (columns < 15) & ~foreground
        statistics = support_statistics(features, foreground, background)
        stored = {name: np.asarray(part, np.float16).astype(np.float32) for name, part in statistics._asdict().items()}
        shots.append({"features": features, "foreground": foreground, "background": background, **stored})

    query = rng.standard_normal(FEATURES).astype(np.float32) + 0.3
    answers = []
    for count in (1, 2, 3):
        stacked = (np.stack([shot[name] for shot in shots[:count]]) for name in SupportStatistics._fields)
        odds = class_odds(query, learn_class(SupportStatistics(*stacked)))
        planes = probabilities([odds], IMAGE)
        refined = refine_edges(planes, image)
        answers.append({"odds": odds, "probability": planes[1], "refined": refined[1]})

    few_shot = FewShot(quality="fast")
    selector_sizes = Inputs(SIDE, 2 * few_shot.extractor.multiple, few_shot.extractor.multiple)
    shown = resize_image(image, *SELECTOR_INPUT)
    strides = {"middle": 16, "deep": 32, "semantic": 32}
    maps = {
        name: rng.standard_normal((1, 5, SELECTOR_INPUT[0] // stride, SELECTOR_INPUT[1] // stride)).astype(np.float32)
        for name, stride in strides.items()
    }
    view = view_of(shown, Features([maps["middle"], maps["deep"]], maps["semantic"]))
    grid = view.colours.shape[1], view.colours.shape[2]
    planes = [planes_of(view, seeds_of(MARKED, grid, **marks)) for marks in MARKS]
    grey = rng.integers(0, 256, (32, 64, 1)) + rng.integers(-6, 7, (32, 64, 3))
    colours = np.concatenate([rng.integers(0, 256, (32, 64, 3)), grey.clip(0, 255)]).astype(np.uint8)
    thin = np.zeros(IMAGE, bool)
    thin[10:30, 31] = True
    return {
        "image": image,
        "resized": [resize_image(image, height, width) for height, width in ((64, 96), (32, 64), (32, 32))],
        "blurred": [
            {"radius": radius, "image": np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))}
            for radius in (0.4, 3.0)
        ],
        "masks": [
            {"mask": mask, "resized": resize_mask(mask, (20, 25))}
            for mask in (shots[0]["foreground"], thin, image[..., 0] > 99)
        ],
        "shots": shots,
        "query": query,
        "answers": answers,
        "sizes": [
            {
                "image": list(size),
                "input": list(few_shot.inputs.size(*size)),
                "selector": list(selector_sizes.size(*size)),
            }
            for size in SIZES
        ],
        "colours": {
            "image": colours,
            "lab": np.asarray(Image.fromarray(colours).convert("LAB"), np.float32).transpose(2, 0, 1) / 127.5 - 1,
        },
        "selector": {
            "image": shown,
            **{name: value[0] for name, value in maps.items()},
            "marked": list(MARKED),
            "marks": [
                {**marks, "coarse": coarse, "fine": fine} for marks, (coarse, fine) in zip(MARKS, planes, strict=True)
            ],
        },
    }


def to_json(value: Any) -> Any:
    """Return nested values with arrays as objects of shape, type and base64."""
    if isinstance(value, dict):
        return {name: to_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if isinstance(value, np.ndarray):
        array = value.astype(np.float32 if value.dtype.kind == "f" else np.uint8)
        data = base64.b64encode(array.tobytes()).decode()
        return {"shape": list(array.shape), "type": str(array.dtype), "data": data}
    return value


def from_json(value: Any) -> Any:
    """Return what `to_json` was given, masks as 8-bit integers."""
    if isinstance(value, dict):
        if value.keys() == {"shape", "type", "data"}:
            return np.frombuffer(base64.b64decode(value["data"]), value["type"]).reshape(value["shape"])
        return {name: from_json(entry) for name, entry in value.items()}
    return [from_json(entry) for entry in value] if isinstance(value, list) else value


def differences(found: Any, expected: Any, name: str = "golden") -> list[str]:
    """Return the names of values that differ by more than rounding."""
    if isinstance(expected, dict):
        return [each for key in expected for each in differences(found[key], expected[key], f"{name}.{key}")]
    if isinstance(expected, list):
        pairs = zip(found, expected, strict=True)
        return [each for index, pair in enumerate(pairs) for each in differences(*pair, f"{name}[{index}]")]
    if isinstance(expected, np.ndarray):
        largest = max(float(np.abs(expected.astype(np.float64)).max()), 1e-9)
        near = np.allclose(found, expected, rtol=0, atol=TOLERANCE * largest)
        return [] if found.shape == expected.shape and near else [name]
    return [] if found == expected else [name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the file is out of date")
    made = to_json(make())
    if not parser.parse_args().check:
        GOLDEN.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    elif changed := differences(from_json(made), from_json(json.loads(GOLDEN.read_text(encoding="utf-8")))):
        sys.exit(
            f"{GOLDEN.name} is out of date at {', '.join(changed)}: change the module in docs/try that repeats the "
            "computation, then run tools/make_browser_golden.py"
        )


if __name__ == "__main__":
    main()
