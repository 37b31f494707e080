"""Compare rules for several examples, on classes that the features were not trained on.

    python experiments/05-whitening/run.py --data PASCAL [--runs runs] [--shots 2 5 10]

Needs the six PANets of `experiments/04-panet-on-pascal-folds/run.py --pairs`. Each segments the classes of the two
folds that it was not trained on, in training images; no test image takes part.

Protocol: 320x320, 1-way, the same episodes for every row, the classes of a fold in turn; intersections and unions
summed per class, boundary ignored; mIoU of the five classes of a fold, mean over its three PANets. Prototypes only.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from likewise.data.class_names import PASCAL
from likewise.data.pascal import pascal5i
from likewise.io.labels import IGNORE
from likewise.models.panet import PANet
from likewise.ops.features import plane_size, resize
from likewise.ops.prototypes import (
    COSINE_SCALE,
    SupportStatistics,
    cosine_maps,
    merge_shots,
    support_statistics,
)
from likewise.ops.shots import area_weights
from likewise.train.recipes.data_sections import EpisodeData
from likewise.train.samples.episodes import Batch, ValidationEpisodes
from likewise.train.samples.training_data import collate
from likewise.weights.load import load_trained

FOREGROUND_BIAS = 0.25
"""Subtracted from the foreground logit, times 1 - 1/K for K shots, in all rows but PANet."""
ROWS = ("PANet", "self-support alone", *(f"whitened, shrinkage {value}" for value in (20, 40, 80, 160)))


def logit_differences(model: PANet, batch: Batch) -> dict[str, Tensor]:
    """Return the foreground logit minus the background logit of the query, for each row."""
    images, query = (model.backbone.normalise(part) for part in (batch.supports[0, 0], batch.queries))
    features, query = model.features(images), model.features(query)
    foreground = (batch.support_labels[0, 0] == 1).float()
    parts = support_statistics(features, 1 - foreground, foreground)
    statistics = SupportStatistics(*(part[None] for part in parts))
    equal = torch.full((1, len(features), 2), 1 / len(features))
    weights = area_weights(foreground.mean(dim=(1, 2))[None])
    bias = FOREGROUND_BIAS * (1 - 1 / len(features))

    def logit(weights: Tensor, ridge: float, *, self_support: bool) -> Tensor:
        prototypes = merge_shots(statistics, weights, ridge=ridge)
        found = cosine_maps(query, prototypes, self_support=self_support)[:, -2:]
        background, foreground_logit = (COSINE_SCALE * resize(found, plane_size(batch.targets), align_corners=False))[0]
        return foreground_logit - background

    rows = {"PANet": logit(equal, 1e9, self_support=False)}
    rows["self-support alone"] = logit(weights, 1e9, self_support=True) - bias
    for row in ROWS[2:]:
        rows[row] = logit(weights, float(row.rpartition(" ")[2]), self_support=True) - bias
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
                held = images.only(PASCAL[5 * fold : 5 * fold + 5])
                data = EpisodeData(
                    kind="episodes", set="pascal5i", root=arguments.data, size=320, shots=(shots,), mirror=0
                )
                counts = {row: np.zeros((5, 2)) for row in ROWS}
                loader = DataLoader(ValidationEpisodes(held, data, arguments.episodes), 1, collate_fn=collate)
                for index, batch in enumerate(loader):
                    truth, counted = batch.targets[0] == 1, batch.targets[0] != IGNORE
                    for row, logit in logit_differences(model, batch).items():
                        found = (logit > 0) & counted
                        both, either = (found & truth).sum().item(), (found | truth).sum().item()
                        counts[row][index % 5] += both, either
                for row, (both, either) in ((row, count.T) for row, count in counts.items()):
                    scores[row, fold].append(float((both / either).mean()))
        print(f"{shots} shots{'':26s} mean  " + "  ".join(f"fold {fold}" for fold in range(4)))
        for row in ROWS:
            folds = [float(np.mean(scores[row, fold])) for fold in range(4)]
            print(f"  {row:30s} {np.mean(folds):.3f}   " + "   ".join(f"{value:.3f}" for value in folds), flush=True)


if __name__ == "__main__":
    main()
