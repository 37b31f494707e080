"""Score a trained run with other weights of the memory: the true classes, equal weights, rotated classes.

    python experiments/13-camvid-memory-reads/run.py RUN --data CamVid

On CamVid's val images, each parsed whole at its own size. The context of a pixel is the class vectors of the memory,
weighted by one number per class: stage 1's probabilities as trained, the true class, equal numbers, or stage 1's
probabilities assigned to other classes. The rest of the network stays as trained.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from likewise.data.scene_benchmarks import camvid_scenes
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.metrics.scenes import SceneIoU
from likewise.models.mcibi import MCIBI
from likewise.ops.features import plane_size
from likewise.weights.load import load_trained

SURE = 20.0
"""Logit of a class that covers a whole position, relative to a class that covers none of it."""


def true_logits(labels: Integer[Tensor, "h w"], size: tuple[int, int], classes: int) -> Float[Tensor, "1 k h w"]:
    """Return logits whose softmax is each class's share of the labelled pixels, equal where there are none."""
    masks = F.one_hot(labels, IGNORE + 1)[None, ..., :classes].movedim(-1, 1).float()
    shares = F.interpolate(masks, size=size, mode="area")
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6)
    return shares.clamp_min(torch.tensor(-SURE).exp().item()).log()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="score every Nth image")
    options = parser.parse_args()
    model, names = load_trained(options.run)
    if not isinstance(model, MCIBI):
        raise SystemExit(f"{options.run} has no memory; give a run of mcibi-camvid")
    model.eval()
    scenes = camvid_scenes(options.data, "val")
    scores: dict[str, SceneIoU] = {}

    def count(variant: str, logits: Float[Tensor, "1 k h w"], labels: Integer[Tensor, "hl wl"]) -> None:
        predicted = model.decode(logits, (labels.shape[0], labels.shape[1]))[0].argmax(dim=0).to(torch.uint8)
        scores.setdefault(variant, SceneIoU(names)).update(predicted.numpy(), labels.to(torch.uint8).numpy())

    for scene in scenes.scenes[:: options.every]:
        image = torch.from_numpy(read_image(scene.image))[None]
        labels = torch.from_numpy(scenes.read_labels(scene.labels)).long()
        levels = model.backbone(model.backbone.normalise(image))
        features = model.bottleneck(levels[-1])
        stage1 = model.stage1(features)
        count("stage 1, no memory", stage1, labels)
        for variant, logits in {
            "stage 2, stage 1's probabilities": stage1,
            "stage 2, the true classes": true_logits(labels, plane_size(stage1), len(names)),
            "stage 2, equal weights": torch.zeros_like(stage1),
            "stage 2, stage 1's probabilities, classes rotated": stage1.roll(1, dims=1),
        }.items():
            related = model.relate_within(features, model.relate(features, logits), levels[-1], stage1)
            count(variant, model.classify(related, levels[0]), labels)
    print("| | val mIoU |\n|---|---|")
    for variant, counted in scores.items():
        print(f"| {variant} | {counted.compute().values['mIoU']:.3f} |")


if __name__ == "__main__":
    main()
