"""Measure and plot what the dataset memory does to the features of a trained run.

    python experiments/14-camvid-features/run.py RUN --data CamVid -o docs/camvid-features.png

On CamVid's val images. "Before" are the features of the bottleneck, "after" those that stage 2 classifies. Distances
are 1 - cosine: of a pixel to the mean of its class, mean over classes; and between the means of two classes, mean over
pairs. The plots show the first two principal components.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from likewise.data.scene_benchmarks import camvid_scenes
from likewise.data.scenes import SceneSet
from likewise.io.images import read_image, save_image
from likewise.models.mcibi import MCIBI
from likewise.viz.draw import palette
from likewise.weights.load import load_trained

EACH = 12
"""Pixels of each class sampled from one image."""
SIDE, MARGIN, LEGEND = 520, 24, 200
PAPER, INK = (250, 249, 246), (34, 36, 42)


@torch.inference_mode()
def sample_features(model: MCIBI, scenes: SceneSet, images: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features before (n, c) and after (n, c) the memory, and the class of each."""
    before, after, classes = [], [], []
    generator = np.random.default_rng(0)
    for scene in scenes.scenes[:: max(1, len(scenes.scenes) // images)]:
        image = torch.from_numpy(read_image(scene.image))[None]
        features = model.bottleneck(model.backbone(model.backbone.normalise(image))[-1])
        related = model.relate(features, model.stage1(features))
        height, width = features.shape[2:]
        labels = np.asarray(Image.fromarray(scenes.read_labels(scene.labels)).resize((width, height), Image.NEAREST))
        for index in range(len(scenes.classes)):
            places = np.flatnonzero(labels.ravel() == index)
            places = generator.permutation(places)[:EACH]
            before.append(features[0].flatten(1).T[places])
            after.append(related[0].flatten(1).T[places])
            classes.append(torch.full((len(places),), index))
    return torch.cat(before), torch.cat(after), torch.cat(classes)


def distances(features: torch.Tensor, classes: torch.Tensor) -> tuple[float, float]:
    """Within the classes and between their means."""
    features = torch.nn.functional.normalize(features, dim=1)
    means = torch.stack([features[classes == index].mean(dim=0) for index in classes.unique()])
    means = torch.nn.functional.normalize(means, dim=1)
    within = [
        (1 - features[classes == index] @ mean).mean() for index, mean in zip(classes.unique(), means, strict=True)
    ]
    cosine = means @ means.T
    between = (1 - cosine)[~torch.eye(len(means), dtype=torch.bool)]
    return torch.stack(within).mean().item(), between.mean().item()


def scatter_plots(panels: list[tuple[str, torch.Tensor]], classes: torch.Tensor, names: tuple[str, ...]) -> np.ndarray:
    """A scatter of each panel's features along their two principal components, and a legend."""
    width = MARGIN + len(panels) * (SIDE + MARGIN) + LEGEND
    image = Image.new("RGB", (width, SIDE + 2 * MARGIN + 30), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    colours = [tuple(colour) for colour in palette(len(names)).tolist()]
    for number, (title, features) in enumerate(panels):
        features = torch.nn.functional.normalize(features, dim=1)
        _, _, axes = torch.pca_lowrank(features, q=4, niter=8)
        spread = (features - features.mean(dim=0)) @ axes[:, :2]
        low, high = spread.quantile(0.005, dim=0), spread.quantile(0.995, dim=0)
        places = ((spread - low) / (high - low).amax()).clamp(0, 1) * (SIDE - 12) + 6
        left, top = MARGIN + number * (SIDE + MARGIN), MARGIN + 30
        draw.text((left, MARGIN - 4), title, font=font, fill=INK)
        draw.rectangle((left, top, left + SIDE, top + SIDE), fill="white")
        for (x, y), index in zip(places.tolist(), classes.tolist(), strict=True):
            draw.ellipse((left + x - 2, top + y - 2, left + x + 2, top + y + 2), fill=colours[index])
    for index, name in enumerate(names):
        x, y = width - LEGEND + 8, MARGIN + 34 + 26 * index
        draw.rectangle((x, y, x + 14, y + 14), fill=colours[index])
        draw.text((x + 22, y - 2), name, font=font, fill=INK)
    return np.array(image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=101)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    model, names = load_trained(options.run)
    torch.manual_seed(0)
    before, after, classes = sample_features(model, camvid_scenes(options.data, "val"), options.images)
    panels = []
    for name, features in (("before the memory", before), ("after the memory", after)):
        within, between = distances(features, classes)
        line = f"{name}: within {within:.3f}, between {between:.3f}, ratio {within / between:.3f}"
        print(line)
        panels.append((line, features))
    save_image(scatter_plots(panels, classes, names), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
