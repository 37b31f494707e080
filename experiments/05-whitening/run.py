"""Compare rules for several examples, on classes that the features were not trained on.

    python experiments/05-whitening/run.py --data PASCAL [--runs runs] [--shots 2 5 10]

Needs the six PANets of `experiments/04-panet-on-pascal-folds/run.py --pairs`. Each segments the classes of the two
folds that it was not trained on, in training images; no test image takes part.

Protocol: 320x320, 1-way, the same episodes for every row, the classes of a fold in turn; intersections and unions
summed per class, boundary ignored; mIoU of the five classes of a fold, mean over its three PANets. Prototypes only,
with the area prior in all rows but PANet.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch.utils.data import DataLoader

from likewise.data.pascal import pascal5i
from likewise.io.class_lists import PASCAL
from likewise.io.labels import IGNORE
from likewise.models.panet import PANet
from likewise.ops.bilinear import resize_bilinear
from likewise.ops.prototypes import (
    COSINE_SCALE,
    SupportStatistics,
    cosine,
    form_prototypes,
    log_odds,
    merge_statistics,
    support_statistics,
)
from likewise.train.recipes.data_sections import EpisodeData
from likewise.train.samples.episodes import Batch, ValidationEpisodes
from likewise.train.samples.training_data import collate
from likewise.weights.load import load_trained

RIDGES = {"self-support alone": 1e9, **{f"whitened, ridge {value}": float(value) for value in (20, 40, 80, 160)}}
"""Row name to the ridge for two examples, in mean variances. The first leaves features unchanged."""
ROWS = ("PANet", *RIDGES)


def row_log_odds(model: PANet, batch: Batch) -> dict[str, Float32[np.ndarray, "h w"]]:
    """Return the query's log-odds at the features' positions, for each row."""
    supports, query = (
        model.features(model.backbone.normalise(images)).numpy() for images in (batch.supports[0, 0], batch.queries)
    )
    masks = (batch.support_labels[0, 0] == 1).numpy()
    shots = [support_statistics(image, mask, ~mask) for image, mask in zip(supports, masks, strict=True)]
    stacked = SupportStatistics(*(np.stack(parts) for parts in zip(*shots, strict=True)))
    flat = query[0].reshape(len(query[0]), -1)
    background, foreground = COSINE_SCALE * cosine(stacked.means.mean(axis=0), flat)
    rows = {"PANet": (foreground - background).reshape(query.shape[2:])}
    for row, ridge in RIDGES.items():
        rows[row] = log_odds(query[0], form_prototypes(merge_statistics(stacked), len(stacked.means), ridge=ridge))
    return rows


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with VOC2012 and splits")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--shots", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--episodes", type=int, default=60, help="episodes of each PANet and fold")
    arguments = parser.parse_args()
    images = pascal5i(arguments.data, None, split="trn")
    for shots in arguments.shots:
        scores: dict[tuple[str, int], list[float]] = defaultdict(list)
        for pair in combinations(range(4), 2):
            model, _ = load_trained(arguments.runs / f"panet-pair{pair[0]}{pair[1]}")
            model.eval()
            for fold in pair:
                novel = images.only(PASCAL[5 * fold : 5 * fold + 5])
                data = EpisodeData(
                    kind="episodes", set="pascal5i", root=arguments.data, size=320, shots=(shots,), mirror=0
                )
                counts = {row: np.zeros((5, 2)) for row in ROWS}
                loader = DataLoader(ValidationEpisodes(novel, data, arguments.episodes), 1, collate_fn=collate)
                for index, batch in enumerate(loader):
                    target = batch.targets[0].numpy()
                    truth, counted = target == 1, target != IGNORE
                    for row, odds in row_log_odds(model, batch).items():
                        found = (resize_bilinear(odds, target.shape) > 0) & counted
                        counts[row][index % 5] += (found & truth).sum(), (found | truth).sum()
                for row, (intersections, unions) in ((row, count.T) for row, count in counts.items()):
                    scores[row, fold].append(float((intersections / unions).mean()))
        print(f"{shots} shots{'':26s} mean  " + "  ".join(f"fold {fold}" for fold in range(4)))
        for row in ROWS:
            folds = [float(np.mean(scores[row, fold])) for fold in range(4)]
            print(f"  {row:30s} {np.mean(folds):.3f}   " + "   ".join(f"{value:.3f}" for value in folds), flush=True)


if __name__ == "__main__":
    main()
