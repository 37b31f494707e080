"""The bundled HSNet answers from its correlations: with noise in their place its masks are lost.

The first frame of a DAVIS sequence is the example, a later one the query; no image of them took part in training.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likewise import Concept, Example, FewShot
from likewise.io.masks import read_mask

SEQUENCES = 5


def with_noise(concept: Concept) -> Concept:
    """Return the concept with random directions in place of the object's features."""
    random, rows = np.random.default_rng(0), dict(concept.rows)
    for name in rows:
        if ".features." in name:
            noise = random.standard_normal(rows[name].shape)
            rows[name] = (noise / np.linalg.norm(noise, axis=-1, keepdims=True)).astype(np.float16)
    return replace(concept, rows=rows)


@pytest.fixture(scope="module")
def scores(shared_data: Path) -> tuple[float, float]:
    """The mean IoU in percent as learned, and with noise."""
    few_shot, ious = FewShot("hsnet-lite0", edges=False, device="cpu"), []
    for folder in sorted((shared_data / "DAVIS/JPEGImages/480p").iterdir())[:SEQUENCES]:
        frames = sorted(folder.glob("*.jpg"))
        first, later = frames[0], frames[len(frames) // 2]
        masks = [
            read_mask(shared_data / f"DAVIS/Annotations/480p/{folder.name}/{frame.stem}.png")
            for frame in (first, later)
        ]
        concept = few_shot.learn(Example(first, mask=masks[0]))
        found = [few_shot.segment(later, one).mask for one in (concept, with_noise(concept))]
        ious.append([100 * ((mask > 0) & masks[1]).sum() / ((mask > 0) | masks[1]).sum() for mask in found])
    own, noise = np.mean(ious, axis=0)
    print(f"as learned {own:.1f}, with noise {noise:.1f}")
    return own, noise


def test_correlations_carry_the_answer(scores: tuple[float, float]) -> None:
    own, noise = scores
    assert own - noise >= 20
