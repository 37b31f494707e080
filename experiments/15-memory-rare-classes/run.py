"""Train heads on frozen features with and without the dataset memory, on data with many and rare classes.

    python experiments/15-memory-rare-classes/run.py --data DATA --set ccp --cache CACHE --out ccp.json

Heads: the baseline `FCN`, MCIBI, MCIBI without its loss of consistency, and, without that loss too, MCIBI whose
memory is filled with random vectors (the same information for the network but nothing of the data set) or with zeros.
Same images, steps, losses and seeds. With `--split selection` the memory of the trained MCIBI is also read by the
true classes, as an upper bound, by equal weights, and by rotated classes.
Finished parts are reused.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scene_features import CachedTap, Parts, crop, open_parts
from torch import Tensor

from likewise.io.labels import IGNORE
from likewise.metrics.confusion import confusion
from likewise.metrics.scores import interval
from likewise.models.blocks.dataset_memory import polynomial_momentum
from likewise.models.fcn import FCN
from likewise.models.mcibi import MCIBI, MCIBIConfig
from likewise.ops.features import plane_size
from likewise.train.loop import moving_average
from likewise.train.samples.scenes import class_weights

ARMS = ("without memory", "with memory", "with memory, not consistency", "random memory", "memory of zeros")
RATE, DECAY, AVERAGE = 0.05, 5e-4, 0.99
"""Of mcibi-camvid."""
RESAMPLES = 1000


def build(arm: str, classes: tuple[str, ...], seed: int) -> FCN | MCIBI:
    torch.manual_seed(seed)
    if arm == "without memory":
        return FCN(CachedTap(), classes, channels=128)  # type: ignore[arg-type]
    model = MCIBI(CachedTap(), classes, MCIBIConfig(channels=128, attention_channels=64))  # type: ignore[arg-type]
    if not arm.startswith("with memory"):
        shape = model.memory.vectors.shape
        model.memory.fill(torch.rand(shape) if arm == "random memory" else torch.zeros(shape))
    return model


def loss_of(
    model: FCN | MCIBI, images: Tensor, labels: Tensor, weights: Tensor, arm: str, done: float, o: argparse.Namespace
) -> Tensor:
    if isinstance(model, FCN):
        return model.loss(images, labels, weights, overlap=o.overlap)
    stages = model.stages(images)
    if arm.startswith("with memory"):
        model.memory.update(stages.features.detach().float(), labels, polynomial_momentum(done))
    return torch.stack(
        list(model.loss(stages, labels, weights, consistency=arm == "with memory", overlap=o.overlap))
    ).sum()


def train(parts: Parts, arm: str, seed: int, o: argparse.Namespace) -> FCN | MCIBI:
    """Return the averaged network; an interrupted training resumes."""
    path = o.runs / f"{parts.name}-{arm.replace(' ', '-')}-{seed}.pt"
    model = build(arm, parts.classes, seed)
    average = moving_average(model, AVERAGE)
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, weight_decay=DECAY)
    weights = torch.from_numpy(class_weights(parts.rare()[1], o.balance))
    start = 0
    if path.is_file():
        state = torch.load(path, weights_only=True)
        start = state["step"]
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
    model.train()
    began = time.process_time()
    for step in range(start, o.steps):
        pairs = []
        for place in range(o.batch):
            epoch, index = divmod(step * o.batch + place, len(parts.train))
            scene = parts.train[np.random.default_rng((seed, epoch)).permutation(len(parts.train))[index]]
            generator = np.random.default_rng((seed, step, place))
            pairs.append(crop(parts.features(scene), parts.labels(scene), o.crop, generator))
        images, labels = (torch.stack(each) for each in zip(*pairs, strict=True))
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.99 * (1 - step / o.steps) ** 0.9 + 0.01)
        torch.manual_seed(1000 * seed + step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, images.float(), labels, weights, arm, step / o.steps, o)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        average.update_parameters(model)
        if (step + 1) % 50 == 0 or step + 1 == o.steps:
            state = {"step": step + 1, "model": model.state_dict(), "average": average.state_dict()}
            torch.save(state | {"optimiser": optimiser.state_dict()}, path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
            seconds = (time.process_time() - began) / (step + 1 - start)
            print(f"{parts.name}, {arm}, seed {seed}: step {step + 1}, loss {loss:.3f}, {seconds:.2f} s", flush=True)
    found = average.module.eval()
    assert isinstance(found, FCN | MCIBI)
    return found


def true_logits(labels: Tensor, size: tuple[int, int], classes: int) -> Tensor:
    """Logits whose softmax is each class's share of a position's labelled pixels."""
    masks = F.one_hot(labels.long(), IGNORE + 1)[None, ..., :classes].movedim(-1, 1).float()
    shares = F.interpolate(masks, size=size, mode="area")
    return (shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6)).clamp_min(1e-9).log()


@torch.inference_mode()
def predictions(model: FCN | MCIBI, features: Tensor, labels: Tensor, reads: bool) -> dict[str, Tensor]:
    if isinstance(model, FCN):
        return {"": model(features)}
    (top,) = model.backbone(features)
    bottleneck = model.bottleneck(top)
    stage1 = model.stage1(bottleneck)
    read_by = {"": stage1}
    if reads:
        truth = true_logits(labels, plane_size(stage1), stage1.shape[1])
        present = labels.unique()
        absent = torch.ones(stage1.shape[1], dtype=torch.bool)
        absent[present[present != IGNORE].long()] = False
        read_by |= {
            ", read by the true classes": truth,
            ", read by stage 1 among the image's classes": stage1.masked_fill(absent[:, None, None], -1e4),
            ", equal weights": torch.zeros_like(stage1),
            ", rotated classes": stage1.roll(1, dims=1),
        }
    found = {name: model.stage2(model.relate(bottleneck, logits)) for name, logits in read_by.items()}
    return found | ({", stage 1": stage1} if reads else {})


def score(parts: Parts, model: FCN | MCIBI, split: str, reads: bool) -> dict[str, np.ndarray]:
    """Return the confusion matrix of each image, by read of the memory."""
    matrices: dict[str, list[np.ndarray]] = {}
    for scene in getattr(parts, split):
        labels = parts.labels(scene)
        features = torch.from_numpy(parts.features(scene))[None].float()
        for name, logits in predictions(model, features, torch.from_numpy(labels), reads).items():
            size = (labels.shape[0] // 2, labels.shape[1] // 2)
            small = F.interpolate(logits, size, mode="bilinear").argmax(dim=1, keepdim=True)
            predicted = F.interpolate(small.float(), labels.shape).byte()[0, 0].numpy()
            matrices.setdefault(name, []).append(confusion(predicted, labels, len(parts.classes)).astype(np.int32))
    return {name: np.stack(of_images) for name, of_images in matrices.items()}


def mean_iou(matrices: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the mIoU in percent of confusion matrices (..., k, k) over the counted classes."""
    intersection = np.diagonal(matrices, axis1=-2, axis2=-1)
    union = matrices.sum(axis=-1) + matrices.sum(axis=-2) - intersection
    return 100 * (intersection / np.maximum(union, 1))[..., counted].mean(axis=-1)


def summary(parts: Parts, found: dict[str, dict[int, np.ndarray]], base: str) -> dict[str, dict[str, list]]:
    """For each way: classes, mIoU of each seed and the mean gain over `base` with its interval, by kind of classes."""
    rare, pixels = parts.rare()
    first = next(iter(found[base].values()))
    shown = (first.sum(axis=(0, 2)) > 0) & (pixels > 0)
    kinds = {"all": shown, "frequent": shown & ~rare, "rare": shown & rare}
    weights = np.random.default_rng(0).multinomial(len(first), np.full(len(first), 1 / len(first)), RESAMPLES)
    weights = np.concatenate([np.ones((1, len(first)), int), weights]).astype(np.float32)
    table: dict[str, dict[str, list]] = {}
    scores: dict[tuple[str, int, str], np.ndarray] = {}
    for way, seeds in found.items():
        for seed, matrices in seeds.items():
            drawn = np.tensordot(weights, matrices.astype(np.float32), 1)
            for kind, counted in kinds.items():
                scores[way, seed, kind] = mean_iou(drawn, counted)
        for kind, counted in kinds.items():
            gains = np.mean([scores[way, seed, kind] - scores[base, seed, kind] for seed in seeds], axis=0)
            values = [round(float(scores[way, seed, kind][0]), 2) for seed in seeds]
            row = [round(float(number), 2) + 0.0 for number in (gains[0], *interval(gains[1:]))]
            table.setdefault(way, {})[kind] = [int(counted.sum()), values, row]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with CCP, VOC2012 and splits")
    parser.add_argument("--set", choices=("ccp", "voc"), required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for features and checkpoints")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS[:2])
    parser.add_argument("--split", choices=("selection", "test"), default="test")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=20, help="side of a crop in positions of 8 pixels")
    parser.add_argument("--balance", type=float, default=0.25)
    parser.add_argument("--overlap", type=float, default=1.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = open_parts(options.set, options.data, options.cache)
    parts.fill_cache()
    options.runs = options.cache / f"runs-{options.steps}-{options.crop}-{options.balance}-{options.overlap}"
    options.runs.mkdir(parents=True, exist_ok=True)
    rare, _ = parts.rare()
    print(f"{parts.name}: {len(parts.train)} training, {len(parts.selection)} selection, {len(parts.test)} test images")
    print(f"rare: {[name for name, is_rare in zip(parts.classes, rare, strict=True) if is_rare]}", flush=True)
    found: dict[str, dict[int, np.ndarray]] = {}
    for seed in options.seeds:
        for arm in options.arms:
            stored = options.runs / f"{parts.name}-{arm.replace(' ', '-')}-{seed}-{options.split}.npz"
            if not stored.is_file():
                model = train(parts, arm, seed, options)
                reads = arm == "with memory" and options.split == "selection"
                np.savez_compressed(stored, **score(parts, model, options.split, reads))
            with np.load(stored) as matrices:
                for read in matrices.files:
                    found.setdefault(arm + read, {})[seed] = matrices[read]
    table = summary(parts, found, options.arms[0])
    for way, kinds in table.items():
        print(way, kinds, flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
