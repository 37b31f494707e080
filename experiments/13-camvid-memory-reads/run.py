"""What the memory is worth to a trained run: scores when it is read by what stage 1 says, by the truth, and by neither.

python experiments/13-camvid-memory-reads/run.py RUN --data ../shared/data/CamVid

On CamVid's val images, each parsed whole at its own size. The context of a pixel is the classes' vectors mixed by
eleven numbers, so "read by" says where these come from: stage 1's probabilities, as trained; the truth, which no one
has when an image is new; the same for every class; or stage 1's, given to other classes. The rest of the network stays
as it was trained.
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
from likewise.metrics.segmentation import SceneIoU
from likewise.models.mcibi import MCIBI
from likewise.ops.features import plane_size
from likewise.predict.scene_parser import open_network

SURE = 20.0
"""The logit of a class that covers all of a position, more than that of one that covers none of it."""


def true_logits(labels: Integer[Tensor, "h w"], size: tuple[int, int], classes: int) -> Float[Tensor, "1 k h w"]:
    """Logits whose softmax is each class's share of the labelled pixels of a position, equal where none is labelled."""
    masks = F.one_hot(labels, IGNORE + 1)[None, ..., :classes].movedim(-1, 1).float()
    shares = F.interpolate(masks, size=size, mode="area")
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6)
    return shares.clamp_min(torch.tensor(-SURE).exp().item()).log()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="1 for all images, 2 for every second, ...")
    options = parser.parse_args()
    model, names = open_network(options.run)
    if not isinstance(model, MCIBI):
        raise SystemExit(f"{options.run} has no memory; give a run of mcibi-camvid")
    model.eval()
    scenes = camvid_scenes(options.data, "val")
    scores: dict[str, SceneIoU] = {}

    def count(told: str, logits: Float[Tensor, "1 k h w"], labels: Integer[Tensor, "hl wl"]) -> None:
        predicted = model.decode(logits, (labels.shape[0], labels.shape[1]))[0].argmax(dim=0).to(torch.uint8)
        scores.setdefault(told, SceneIoU(names)).update(predicted.numpy(), labels.to(torch.uint8).numpy())

    for scene in scenes.scenes[:: options.every]:
        image = torch.from_numpy(read_image(scene.image))[None]
        labels = torch.from_numpy(scenes.read_labels(scene.labels)).long()
        levels = model.backbone(model.backbone.normalise(image))
        features = model.bottleneck(levels[-1])
        stage1 = model.stage1(features)
        count("stage 1, which reads nothing", stage1, labels)
        for told, read_by in {
            "stage 2, read by stage 1": stage1,
            "stage 2, read by the truth": true_logits(labels, plane_size(stage1), len(names)),
            "stage 2, read equally": torch.zeros_like(stage1),
            "stage 2, read by stage 1 for other classes": stage1.roll(1, dims=1),
        }.items():
            related = model.relate_within(features, model.relate(features, read_by), levels[-1], stage1)
            count(told, model.classify(related, levels[0]), labels)
    print("| | val mIoU |\n|---|---|")
    for told, counted in scores.items():
        print(f"| {told} | {counted.compute().values['mIoU']:.3f} |")


if __name__ == "__main__":
    main()
