"""Draw docs/instances.jpg: the demo's coins from one example, and drawn discs that touch, with and without instances.

python experiments/23-instances/figure.py
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scenes import touching

from likewise import FewShot
from likewise.io.labels import MOST_CLASSES
from likewise.jobs.demo import coins
from likewise.predict.instances import separate
from likewise.viz.contact_sheet import Tile, contact_sheet
from likewise.viz.draw import overlay

OUT = Path(__file__).resolve().parents[2] / "docs/instances.jpg"


def coloured(image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return overlay(image, np.where(ids > 0, 1 + (ids - 1) % (MOST_CLASSES - 1), 0).astype(np.uint8))


def main() -> None:
    task, few_shot = coins(), FewShot()
    result = few_shot.segment(task.query, few_shot.learn(task.example))
    scenes = touching(3)
    discs = max((next(scenes) for _ in range(12)), key=lambda ids: ids.max())
    mask = discs > 0
    paper = np.where(mask[..., None], np.uint8(120), np.uint8(235)).repeat(3, axis=2)
    found = separate(mask, mask * np.float32(0.9))
    rows = [
        [
            Tile(task.display, "One coin, outlined", "the example"),
            Tile(coloured(task.query, result.instances.ids), f"{len(result.instances)} coins", "Result.instances"),
        ],
        [
            Tile(coloured(paper, mask), "One connected region", "without --instances"),
            Tile(coloured(paper, found), f"{found.max()} of {discs.max()} discs", "with --instances"),
        ],
    ]
    sheet = Image.fromarray(contact_sheet(rows, header="One mask an object", subtitle="--instances"))
    sheet.thumbnail((1000, 1000))
    sheet.save(OUT, quality=82)


if __name__ == "__main__":
    main()
