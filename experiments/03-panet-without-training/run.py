"""Compare taps and pooling of PANet without training on PASCAL-5i.

    python experiments/03-panet-without-training/run.py --data DATA

Protocol: 1-way, 1-shot, images and masks resized to 320x320, 60 episodes a class drawn with a seed (support and query
differ, both show the class), intersections and unions summed per class, query pixels with label 255 ignored, IoU
averaged over the five classes of a fold, then over folds. Standard deviation over three seeds. Choices are made by the
column "choice": the same measure on training images, for each fold on its fifteen training classes, mean over folds.
"""

import argparse
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from likewise.backbones.specs import backbone_spec
from likewise.data.episodes import EpisodeSet, read_pair
from likewise.data.pascal import pascal5i
from likewise.models.panet import PANet, PANetConfig
from likewise.ops.features import resize
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import DEFAULT_TAPS

SIZE, EPISODES, SEEDS = 320, 60, (0, 1, 2)
TAPS = ("blocks.2.1", "blocks.3.2", "blocks.4.2", "blocks.5.1", "blocks.5.3", "blocks.6.0")


@dataclass(frozen=True)
class Choice:
    """Which taps, side by side at the size of the shallowest, and where features are pooled."""

    taps: tuple[str, ...]
    pool_at: str = "mask"


CHOICES = (
    Choice(("blocks.5.3",)),
    Choice(("blocks.5.3",), "features"),
    Choice(("blocks.3.2",)),
    Choice(("blocks.4.2",)),
    Choice(("blocks.6.0",)),
    Choice(("blocks.5.1", "blocks.5.3")),
    Choice(("blocks.5.3", "blocks.6.0")),
    Choice(("blocks.4.2", "blocks.5.3")),
    Choice(("blocks.4.2", "blocks.5.3"), "features"),
    Choice(("blocks.3.2", "blocks.4.2", "blocks.5.3")),
    Choice(("blocks.4.2", "blocks.5.3", "blocks.6.0")),
    Choice(("blocks.4.2", "blocks.5.3", "blocks.6.0"), "features"),
)
SHIPPED = Choice(DEFAULT_TAPS["lite0"])


class Features:
    """Every image's taps and label maps at 320x320, computed once, kept in half precision."""

    def __init__(self) -> None:
        self.backbone = load_backbone(backbone_spec("lite0", taps=TAPS)).eval()
        self.kept: dict[tuple[str, str], tuple[dict[str, torch.Tensor], torch.Tensor]] = {}

    @torch.inference_mode()
    def of(self, dataset: EpisodeSet, image: str, class_name: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The taps of an image, and its labels for one class: 0, 1 and 255."""
        key = (image, class_name)
        if key not in self.kept:
            pixels, labels = read_pair(dataset, image, (class_name,), SIZE)
            features = self.backbone(self.backbone.normalise(torch.from_numpy(pixels.copy())[None]))
            taps = {name: feature.half() for name, feature in zip(TAPS, features, strict=True)}
            self.kept[key] = taps, torch.from_numpy(labels.copy())
        return self.kept[key]


@cache
def panet(choice: Choice) -> PANet:
    return PANet(torch.nn.Identity(), PANetConfig(pool_at=choice.pool_at))  # type: ignore[arg-type]


def concat_levels(taps: dict[str, torch.Tensor], names: tuple[str, ...]) -> torch.Tensor:
    levels = [taps[name].float() for name in names]
    size = tuple(levels[0].shape[-2:])
    return torch.cat([resize(level, size, align_corners=False) for level in levels], dim=1)


@torch.inference_mode()
def iou_of_class(
    features: Features, dataset: EpisodeSet, name: str, choices: tuple[Choice, ...], seed: int
) -> list[float]:
    """The IoU of one class over its episodes, for each choice."""
    generator = np.random.default_rng([seed, sum(map(ord, name))])
    images = dataset.images_of[name]
    counts = np.zeros((len(choices), 2))
    for _ in range(EPISODES):
        query, support = (images[i] for i in generator.choice(len(images), 2, replace=False))
        support_taps, mask = features.of(dataset, support, name)
        query_taps, target = features.of(dataset, query, name)
        foreground = (mask == 1).float()[None, None, None]
        for index, choice in enumerate(choices):
            model = panet(choice)
            prototypes = model.prototypes(concat_levels(support_taps, choice.taps), foreground, 1 - foreground)
            logits = model.decode(model.relate(concat_levels(query_taps, choice.taps), prototypes), (SIZE, SIZE))
            found, truth = (logits[0, 1] > logits[0, 0]) & (target != 255), target == 1
            counts[index] += (found & truth).sum().item(), (found | truth).sum().item()
    return list(counts[:, 0] / counts[:, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--quick", action="store_true", help="one seed, two settings")
    arguments = parser.parse_args()
    choices = (CHOICES[0], SHIPPED) if arguments.quick else CHOICES
    seeds = SEEDS[:1] if arguments.quick else SEEDS
    started, features = time.monotonic(), Features()
    tests = [pascal5i(arguments.data, fold, "val") for fold in range(4)]
    for test in tests:
        Console().print(str(test.presence))
    # folds of seeds x choices
    scores = np.array(
        [
            [
                np.mean([iou_of_class(features, test, name, choices, seed) for name in test.classes], axis=0)
                for seed in seeds
            ]
            for test in tests
        ]
    )
    chosen_by = None
    if not arguments.quick:
        tested = {image for test in tests for image in test.classes_of}
        by_class: dict[str, list[float]] = {}
        base_of_fold = []
        for fold in range(4):
            training = pascal5i(arguments.data, fold, "trn")
            assert not tested & set(training.classes_of), "a test image among the training images"
            for name in training.classes:
                if name not in by_class:
                    by_class[name] = iou_of_class(features, training, name, choices, seed=0)
            base_of_fold.append(np.mean([by_class[name] for name in training.classes], axis=0))
        chosen_by = np.mean(base_of_fold, axis=0)
        for fold, base in enumerate(base_of_fold):
            best = CHOICES[int(np.argmax(base))]
            Console().print(
                f"best on the base classes of fold {fold}: {' + '.join(best.taps)}, pooled at {best.pool_at}"
            )
    table = Table("taps", "pooled at", *(f"fold {fold}" for fold in range(4)), "mean", "choice")
    for index, choice in enumerate(choices):
        folds = scores[:, :, index]
        table.add_row(
            " + ".join(choice.taps) + (" (shipped)" if choice == SHIPPED else ""),
            choice.pool_at,
            *(f"{value:.3f}" for value in folds.mean(axis=1)),
            f"{folds.mean():.3f} ±{folds.mean(axis=0).std():.3f}",
            f"{chosen_by[index]:.3f}" if chosen_by is not None else "",
        )
    Console(width=120).print(table)
    print(f"{len(features.kept)} images, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
