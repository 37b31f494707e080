"""The shipped model tells real images with an object from images without it."""

from pathlib import Path

import numpy as np

from likewise import Example, FewShot


def test_presence_separates_sequences_of_davis(shared_data: Path) -> None:
    root = shared_data / "DAVIS"
    sequences = sorted((root / "JPEGImages/480p").iterdir())
    frames = [sorted(sequence.glob("*.jpg")) for sequence in sequences]
    few_shot = FewShot(edges=False)
    present, absent = [], []
    for index, (sequence, own) in enumerate(zip(sequences, frames, strict=True)):
        mask = root / f"Annotations/480p/{sequence.name}/{own[0].stem}.png"
        segment = few_shot.prepare(few_shot.learn(Example(own[0], mask=mask)))
        present.append(segment(own[len(own) // 2]).presence)
        others = [segment(frames[(index + step) % len(frames)][0]) for step in (1, 4, 7)]
        absent += [result.presence for result in others]
        assert all(result.mask.any() <= (result.presence >= 0.3) for result in others)
    separated = (np.array(present)[:, None] > np.array(absent)).mean()
    print(f"AUROC {separated:.3f}, empty where absent {np.mean(np.array(absent) < 0.3):.2f}")
    assert separated > 0.95  # 0.99 when it was shipped
    assert np.mean(np.array(absent) < 0.3) > 0.6
    assert np.mean(np.array(present) >= 0.3) > 0.9
