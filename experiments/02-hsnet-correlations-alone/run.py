"""HSNet on its correlations alone: no prototypes, no self-support. Features, diagnosis, training, test.

    python run.py features --data DATA --fold 0 --backbone lite0
    python run.py diagnose --data DATA --fold 0 --backbone lite0
    python run.py train    --data DATA --fold 0 --backbone lite0 --run runs/hsnet-alone
    python run.py test     --data DATA --fold 0 --backbone lite0 --run runs/hsnet-alone --shots 1

Fold 4 leaves out no class; `ship.py` makes of such a training the weights that `likewise` bundles as hsnet-lite0.

`--backbone` is "lite0" (ImageNet weights) or a folder of `likewise train` with a PANet on lite0; several for training,
which draws one for each episode. A PANet separates its base classes better than any novel class, and ImageNet weights
separate both less: between them training meets what the test will be. `--crossed 5=FOLDER` takes the features of the
classes 5 to 9 from that folder instead. `--rest` correlates the query with the support's background too.
Features of the frozen backbone are cached per image and mirror image. Training resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from likewise.backbones.specs import BACKBONES
from likewise.models.hsnet import HSNet, HSNetConfig, block
from likewise.weights.imagenet import load_backbone
from likewise.weights.load import load_trained

PASCAL = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle"),
    *("bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
IGNORE = 255


def taps_spec():
    spec = BACKBONES["lite0"]
    modules = [tap.module for tap in spec.taps]
    return spec.with_taps(*modules[modules.index("blocks.2.0") :])


SPEC = taps_spec()
STRIDES = [tap.stride for tap in SPEC.taps]


def open_backbone(name: str):
    backbone = load_backbone(SPEC)
    if name != "lite0":
        trained, _ = load_trained(name)
        own = backbone.state_dict()
        shared = {key: value for key, value in trained.backbone.state_dict().items() if key in own}
        assert shared
        backbone.load_state_dict(own | shared)
    return backbone.eval()


class Store:
    """Features and masks of (image, class) entries at `side` x `side` pixels, in a memory-mapped file.

    A row is all taps of one image, or mirror image, in half precision.
    """

    def __init__(
        self, data: Path, folder: Path, backbone: str, split: str, fold: int, crossed: dict[int, str], side: int
    ) -> None:
        self.data, self.side = data, side
        novel = range(5 * fold, 5 * fold + 5)
        lines = {
            f: [line.rpartition("__") for line in (data / f"splits/pascal/{split}/fold{f}.txt").read_text().split()]
            for f in range(4)
        }
        everything = [(image, int(number) - 1) for f in range(4) for image, _, number in lines[f]]
        everything = [(i, c) for i, c in everything if (data / f"VOC2012/JPEGImages/{i}.jpg").is_file()]
        if split == "val":
            chosen = [(i, c) for i, c in everything if c in novel]
        else:
            leaking = {image for image, c in everything if c in novel}
            chosen = [(i, c) for i, c in everything if c not in novel and i not in leaking]
        self.entries = chosen
        self.backbones = [crossed.get(c, backbone) for _, c in chosen]
        keys = sorted({(b, i) for b, (i, _) in zip(self.backbones, chosen, strict=True)})
        self.row_of = {key: row for row, key in enumerate(keys)}
        self.shapes = [(tap.channels, side // tap.stride, side // tap.stride) for tap in SPEC.taps]
        self.size = sum(math.prod(shape) for shape in self.shapes)
        mark = hashlib.sha256(json.dumps([keys, split, fold]).encode()).hexdigest()[:10]
        self.path = folder / f"features-{split}{fold}-{side}-{mark}.f16"
        folder.mkdir(parents=True, exist_ok=True)
        self.mirrors = 2 if split == "trn" else 1
        shape = (len(keys), self.mirrors, self.size)
        fresh = not self.path.is_file()
        self.rows = np.memmap(self.path, np.float16, "w+" if fresh else "r+", shape=shape)
        flags = self.path.with_suffix(".flags")
        self.filled = np.memmap(flags, np.uint8, "r+" if flags.is_file() else "w+", shape=(len(keys),))
        self.opened: dict[str, object] = {}
        self.masks: dict[tuple[int, int], np.ndarray] = {}

    @torch.inference_mode()
    def fill(self, name: str, image: str) -> int:
        """The row of an image under a backbone; computed when it is first asked for."""
        row = self.row_of[name, image]
        if not self.filled[row]:
            if name not in self.opened:
                self.opened[name] = open_backbone(name)
            pixels = Image.open(self.data / f"VOC2012/JPEGImages/{image}.jpg").convert("RGB")
            pixels = np.array(pixels.resize((self.side, self.side), Image.Resampling.BILINEAR))
            both = np.stack([pixels, pixels[:, ::-1]][: self.mirrors])
            backbone = self.opened[name]
            taps = backbone(backbone.normalise(torch.from_numpy(both)))
            self.rows[row] = torch.cat([tap.flatten(1) for tap in taps], dim=1).half().numpy()
            self.filled[row] = 1
        return row

    def taps(self, entry: int, mirror: int = 0) -> list[Tensor]:
        """Of the entry's image; (c, h, w) each."""
        row = torch.from_numpy(np.array(self.rows[self.fill(self.backbones[entry], self.entries[entry][0]), mirror]))
        return [
            part.view(shape)
            for part, shape in zip(row.split([math.prod(s) for s in self.shapes]), self.shapes, strict=True)
        ]

    def mask(self, entry: int, side: int, mirror: int = 0) -> Tensor:
        """(side, side): 0, 1, IGNORE; nearest as the protocol picks them."""
        if (entry, side) not in self.masks:
            image, c = self.entries[entry]
            labels = np.array(Image.open(self.data / f"VOC2012/SegmentationClassAug/{image}.png"))
            at = [np.minimum(np.arange(side) * length // side, length - 1) for length in labels.shape]
            labels = labels[at[0]][:, at[1]]
            self.masks[entry, side] = np.where(labels == IGNORE, IGNORE, labels == c + 1).astype(np.uint8)
        mask = self.masks[entry, side]
        return torch.from_numpy(mask[:, ::-1].copy() if mirror else mask.copy())

    def of_class(self, classes=None) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, (_, c) in enumerate(self.entries):
            if classes is None or c in classes:
                found.setdefault(c, []).append(index)
        return {c: places for c, places in found.items() if len(places) > 5}


def masked_units(taps: list[Tensor], foreground: Tensor) -> list[Tensor]:
    """As HSNet's, of a batch; taps (b, c, h, w), foreground (b, h, w) in [0, 1]."""
    found = []
    for tap in taps:
        mask = F.interpolate(foreground[:, None], size=tap.shape[-2:], mode="bilinear", align_corners=True)
        lost = ~mask.flatten(1).any(dim=1)
        if lost.any():
            mask = mask.clone()
            mask[lost] = F.adaptive_max_pool2d(foreground[lost][:, None], tap.shape[-2:])
        found.append(units(tap * mask))
    return found


def units(tap: Tensor) -> Tensor:
    return tap / (tap.norm(dim=1, keepdim=True) + 1e-5)


# ------------------------------------------------------------------------------------------------------------ diagnosis


def area_under(scores: Tensor, truth: Tensor) -> float:
    order = scores.argsort()
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    positive = truth.sum().item()
    negative = len(truth) - positive
    return (ranks[truth].sum().item() - positive * (positive - 1) / 2) / (positive * negative)


def best_iou(scores: Tensor, truth: Tensor) -> float:
    """The highest IoU that any threshold reaches."""
    hits = truth[scores.argsort(descending=True)].float().cumsum(0)
    union = torch.arange(1, len(hits) + 1) + truth.sum() - hits
    return (hits / union).max().item()


@torch.inference_mode()
def evidence(
    store: Store, query: int, support: int, centre: list[Tensor] | str | None, gains: list[Tensor] | None
) -> Tensor:
    """(features, positions of stride 8): for each tap the maximum, the mean of the best tenth and the mean.

    First over the support's object, then over its background.
    """
    taps, shown = store.taps(query), store.taps(support)
    mask = (store.mask(support, store.side) == 1).float()
    rows = []
    for index, (one, other) in enumerate(zip(taps, shown, strict=True)):
        one, other = one.float(), other.float()
        share = F.adaptive_avg_pool2d(mask[None, None], one.shape[-2:])[0, 0].flatten()
        if centre == "background":
            rest = ((1 - share) * other.flatten(1)).sum(dim=1) / (1 - share).sum().clamp_min(1e-3)
            one, other = one - rest[:, None, None], other - rest[:, None, None]
        elif centre is not None:
            one, other = one - centre[index][:, None, None], other - centre[index][:, None, None]
        if gains is not None:
            one, other = one * gains[index][:, None, None], other * gains[index][:, None, None]
        foreground = share >= min(0.5, share.max().item())
        background = share < 0.5 if (share < 0.5).any() else ~foreground
        side = one.shape[-1]
        one, other = F.normalize(one.flatten(1), dim=0), F.normalize(other.flatten(1), dim=0)
        cosines = one.T @ other
        for inside in (foreground, background):
            chosen = cosines[:, inside]
            count = max(1, chosen.shape[1] // 10)
            for value in (chosen.max(dim=1).values, chosen.topk(count, dim=1).values.mean(dim=1), chosen.mean(dim=1)):
                plane = value.view(1, 1, side, side)
                rows.append(
                    F.interpolate(
                        plane, size=(store.side // 8, store.side // 8), mode="bilinear", align_corners=False
                    ).flatten()
                )
    return torch.stack(rows)


def pairs_of(store: Store, count: int, seed: int, classes=None) -> list[tuple[int, int]]:
    """(query, support), all classes equally often."""
    generator = np.random.default_rng(seed)
    places = store.of_class(classes)
    names = sorted(places)
    return [tuple(map(int, generator.choice(places[names[i % len(names)]], 2, replace=False))) for i in range(count)]


def statistics(store: Store, count: int = 300) -> tuple[list[Tensor], list[Tensor]]:
    """Of each tap: the mean of its features over training images, and one by their standard deviation."""
    chosen = np.random.default_rng(1).permutation(len(store.entries))[:count]
    taps = [torch.stack([store.taps(int(i))[t].float().flatten(1) for i in chosen]) for t in range(len(SPEC.taps))]
    return [tap.mean(dim=(0, 2)) for tap in taps], [1 / tap.std(dim=(0, 2)).clamp_min(1e-3) for tap in taps]


def linear_read_out(train: list[tuple[Tensor, Tensor]], steps: int = 300) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logistic regression on the evidence, every pair weighted the same, the loss balanced by the object's share."""
    x = torch.cat([evidence.T for evidence, _ in train])
    y = torch.cat([truth for _, truth in train]).float()
    mean, deviation = x.mean(dim=0), x.std(dim=0).clamp_min(1e-4)
    x = (x - mean) / deviation
    weights, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=0.02)
    for _ in range(steps):
        probability = (x @ weights + bias).sigmoid()
        loss = 1 - torch.minimum(probability, y).sum() / torch.maximum(probability, y).sum()
        loss = loss + F.binary_cross_entropy(probability.clamp(1e-5, 1 - 1e-5), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights.detach(), bias.detach(), mean, deviation


def mean_iou(store: Store, found: list[tuple[int, Tensor, Tensor]]) -> float:
    sums: dict[int, list[float]] = {}
    for query, mask, truth in found:
        total = sums.setdefault(store.entries[query][1], [0.0, 0.0])
        total[0] += (mask & truth).sum().item()
        total[1] += (mask | truth).sum().item()
    return 100 * float(np.mean([a / max(b, 1) for a, b in sums.values()]))


def diagnose(arguments, trn: Store, val: Store, out: dict) -> None:
    centre, gains = statistics(trn)
    base = pairs_of(trn, 240, 2)
    novel = pairs_of(val, 150, 3)
    columns = ("object, best", "object, best tenth", "object, mean", "rest, best", "rest, best tenth", "rest, mean")
    kinds = {
        "unchanged": (None, None),
        "centred": (centre, None),
        "standardised": (centre, gains),
        "centred at the support's background": ("background", None),
    }
    for kind in arguments.kinds or list(kinds):
        c, g = kinds[kind]
        sets = {}
        for name, store, pairs in (("base", trn, base), ("novel", val, novel)):
            items = []
            for query, support in pairs:
                target = store.mask(query, store.side // 8)
                known = (target != IGNORE).flatten()
                truth = (target == 1).flatten()[known]
                if truth.any() and not truth.all():
                    items.append((query, evidence(store, query, support, c, g)[:, known], truth))
            sets[name] = (store, items)
        per_tap = {}
        store, items = sets["novel"]
        for tap, where in enumerate(SPEC.taps):
            rows = {}
            for column, label in list(enumerate(columns))[:3]:
                areas = [area_under(e[6 * tap + column], t) for _, e, t in items]
                oracle = [best_iou(e[6 * tap + column], t) for _, e, t in items]
                rows[label] = [round(float(np.mean(areas)), 3), round(100 * float(np.mean(oracle)), 1)]
            gap = [area_under(e[6 * tap + 1] - e[6 * tap + 4], t) for _, e, t in items]
            rows["object less rest, best tenth"] = [
                round(float(np.mean(gap)), 3),
                round(100 * float(np.mean([best_iou(e[6 * tap + 1] - e[6 * tap + 4], t) for _, e, t in items])), 1),
            ]
            per_tap[where.module] = rows
        spread = {}
        all_object = [i for i in range(6 * len(SPEC.taps)) if i % 6 < 3]
        for label, chosen in (("object alone", all_object), ("object and rest", list(range(6 * len(SPEC.taps))))):
            train = [(e[chosen], t) for _, e, t in sets["base"][1]]
            weights, bias, mean, deviation = linear_read_out(train)
            # also each image on its own scale: what group norm over an episode can do
            for scale in ("common", "own"):
                if scale == "own":
                    own = [
                        (e[chosen] - e[chosen].mean(1, keepdim=True)) / e[chosen].std(1, keepdim=True).clamp_min(1e-4)
                        for _, e, t in sets["base"][1]
                    ]
                    weights, bias, mean, deviation = linear_read_out(
                        [(e, t) for e, (_, _, t) in zip(own, sets["base"][1], strict=True)]
                    )
                for name in ("base", "novel"):
                    store, items = sets[name]
                    found = []
                    for query, e, truth in items:
                        x = e[chosen]
                        if scale == "own":
                            x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True).clamp_min(1e-4)
                        logits = ((x.T - mean) / deviation) @ weights + bias
                        found.append((query, logits > 0, truth))
                    spread[f"{label}, {scale} scale, {name}"] = round(mean_iou(store, found), 1)
        out[kind] = {
            "per tap: AUROC, IoU at the best threshold of each image": per_tap,
            "linear read-out, mIoU": spread,
        }
        print(kind, json.dumps(spread, indent=1), flush=True)
        for tap, rows in per_tap.items():
            print(f"  {tap:12s}", rows, flush=True)


# ------------------------------------------------------------------------------------------------------------- training


class Transform:
    """What is done to taps before units are taken: nothing, or a fixed shift and gain of each channel.

    The shift is the mean over training images; the last normalisation of a block could hold it.
    """

    def __init__(self, kind: str, store: Store) -> None:
        """`store` holds the training images."""
        self.kind = kind
        place = store.path.with_suffix(".statistics.pt")
        if kind != "none" and not place.is_file():
            torch.save(statistics(store), place)
        if kind != "none":
            self.centre, self.gains = torch.load(place, weights_only=True)

    def __call__(self, taps: list[Tensor]) -> list[Tensor]:
        """Of an image, (c, h, w) each, or a batch."""
        if self.kind == "none":
            return taps
        moved = [tap - c[:, None, None] for tap, c in zip(taps, self.centre, strict=True)]
        if self.kind == "centred":
            return moved
        return [tap * g[:, None, None] for tap, g in zip(moved, self.gains, strict=True)]


class Alone(HSNet):
    """HSNet; with `rest`, correlations with the support's background are further channels of every level."""

    def __init__(self, channels: tuple[int, int, int], rest: bool) -> None:
        super().__init__(open_backbone("lite0"), HSNetConfig(channels=channels))
        self.rest = rest
        if rest:
            counts = [2 * STRIDES.count(stride) for stride in (8, 16, 32)]
            self.squeeze8 = block((counts[0], *channels), sides=(5, 5, 3), strides=(4, 4, 2))
            self.squeeze16 = block((counts[1], *channels), sides=(5, 3, 3), strides=(4, 2, 2))
            self.squeeze32 = block((counts[2], *channels), sides=(3, 3, 3), strides=(2, 2, 2))

    def logits(self, query: list[Tensor], support: list[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """From unit features of the query, of the support's object and, with `rest`, of its background."""
        levels = [torch.cat([self.level(query, side, stride) for side in support], dim=1) for stride in (8, 16, 32)]
        return self.decode(self.squeeze_and_mix(*levels), size)


def network(arguments) -> Alone:
    torch.manual_seed(arguments.seed)
    return Alone(tuple(arguments.channels), arguments.rest)


def sides(taps: list[Tensor], foreground: Tensor, rest: bool) -> list[list[Tensor]]:
    return [masked_units(taps, mask) for mask in ((foreground, 1 - foreground) if rest else (foreground,))]


def batch_of(sources: list[tuple[Store, Transform]], pairs: list[tuple[int, int]], rest: bool, mirrors=None):
    """Query units, support units of each side, and the query's masks; one source for each pair."""
    mirrors = mirrors or [(0, 0)] * len(pairs)
    items = list(zip(sources, pairs, mirrors, strict=True))
    query, support = (
        [
            torch.stack(parts)
            for parts in zip(
                *(move([t.float() for t in store.taps(p[side], m[side])]) for (store, move), p, m in items), strict=True
            )
        ]
        for side in (0, 1)
    )
    shown = torch.stack([(store.mask(p[1], store.side, m[1]) == 1).float() for (store, _), p, m in items])
    target = torch.stack([store.mask(p[0], store.side // 4, m[0]) for (store, _), p, m in items])
    return [units(tap) for tap in query], sides(support, shown, rest), target


def loss_of(logits: Tensor, target: Tensor, kind: str) -> Tensor:
    """Cross-entropy as published, or one minus the soft IoU of the whole batch, or their sum."""
    known, truth = target != IGNORE, (target == 1).float()
    entropy = F.cross_entropy(logits, truth.long(), reduction="none")[known].mean()
    probability = logits.softmax(dim=1)[:, 1]
    overlap = 1 - (torch.minimum(probability, truth) * known).sum() / (torch.maximum(probability, truth) * known).sum()
    return {"cross-entropy": entropy, "overlap": overlap, "both": entropy + overlap}[kind]


def train(arguments, stores: list[Store], out: dict) -> None:
    """Train resumably; measure averaged weights on held-out base classes every few hundred steps."""
    run = arguments.run
    run.mkdir(parents=True, exist_ok=True)
    sources = [(store, Transform(arguments.transform, store)) for store in stores]
    store = stores[0]
    model = network(arguments)
    learning = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimiser = torch.optim.Adam(learning.values(), lr=arguments.rate)
    held = [PASCAL.index(name) for name in arguments.held]
    images = {image for image, c in store.entries if c in held}
    places = store.of_class([c for c in range(20) if c not in held])
    places = {c: [i for i in found if store.entries[i][0] not in images] for c, found in places.items()}
    names = sorted(places)
    share = np.array([len(places[c]) ** arguments.power for c in names])
    share = share / share.sum()
    average = {name: value.detach().clone() for name, value in learning.items()}
    step, seconds, curve = 0, 0.0, []
    last = run / "checkpoint.pt"
    if last.is_file():
        kept = torch.load(last, weights_only=True)
        model.load_state_dict(kept["model"], strict=False)
        optimiser.load_state_dict(kept["optimiser"])
        average, step, seconds, curve = kept["average"], kept["step"], kept["seconds"], kept["curve"]
    losses: list[float] = []
    while step < arguments.steps:
        started = time.process_time()
        generator = np.random.default_rng([arguments.seed, step])
        pairs = []
        for c in generator.choice(names, arguments.batch, p=share):
            pairs.append(tuple(map(int, generator.choice(places[c], 2, replace=False))))
        mirrors = [tuple(map(int, generator.integers(2, size=2))) for _ in pairs]
        drawn = [sources[i] for i in generator.integers(len(sources), size=len(pairs))]
        query, support, target = batch_of(drawn, pairs, arguments.rest, mirrors)
        rate = arguments.rate * min(1, (step + 1) / 50)
        if arguments.cosine:
            rate *= 0.5 + 0.5 * math.cos(math.pi * step / arguments.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.logits(query, support, tuple(target.shape[-2:]))
        loss = loss_of(logits.float(), target, arguments.loss)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        decay = min(arguments.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in learning.items():
                average[name].lerp_(value, 1 - decay)
        losses.append(loss.item())
        seconds += time.process_time() - started
        if step % 20 == 0:
            print(f"step {step}, loss {np.mean(losses[-20:]):.4f}, {seconds / step:.2f} CPU s a step", flush=True)
        if step % arguments.every == 0 or step == arguments.steps:
            scores = [held_out(model, average, source, held) for source in sources] if held else []
            curve.append([step, step * arguments.batch, round(float(np.mean(losses[-arguments.every :])), 4), *scores])
            print("curve", curve[-1], flush=True)
            content = {
                "model": {n: v for n, v in model.state_dict().items() if not n.startswith("backbone.")},
                "optimiser": optimiser.state_dict(),
                "average": average,
                "step": step,
                "seconds": seconds,
                "curve": curve,
            }
            torch.save(content, run / "part.pt")
            (run / "part.pt").replace(last)
            out.clear()
            out["settings"] = settings(arguments)
            out["curve: step, episodes, loss, held-out mIoU on each backbone"] = curve
            out["CPU seconds a step"] = round(seconds / step, 2)
            save(arguments)


@torch.inference_mode()
def held_out(model: Alone, average: dict, source: tuple[Store, Transform], held: list[int], count: int = 120) -> float:
    """mIoU on pairs of classes that training leaves out, at a quarter of the input's side."""
    own = {name: value.clone() for name, value in model.state_dict().items() if name in average}
    model.load_state_dict(average, strict=False)
    store = source[0]
    sums: dict[int, list[float]] = {}
    pairs = pairs_of(store, count, 11, held)
    for start in range(0, count, 8):
        part = pairs[start : start + 8]
        query, support, target = batch_of([source] * len(part), part, model.rest)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.logits(query, support, tuple(target.shape[-2:])).float()
        for (q, _), one, truth in zip(part, logits, target, strict=True):
            mask, known = one[1] > one[0], truth != IGNORE
            total = sums.setdefault(store.entries[q][1], [0.0, 0.0])
            total[0] += (mask & (truth == 1) & known).sum().item()
            total[1] += ((mask | (truth == 1)) & known).sum().item()
    model.load_state_dict(own, strict=False)
    return round(100 * float(np.mean([a / max(b, 1) for a, b in sums.values()])), 2)


# ----------------------------------------------------------------------------------------------------------------- test


def protocol_episodes(store: Store, shots: int, count: int = 1000) -> list[tuple[int, list[int]]]:
    """As hsnet-2021 draws them: queries in the order of the list, supports by numpy's legacy generator, seed 0."""
    generator = np.random.RandomState(0)
    places: dict[int, list[int]] = {}
    for index, (_, c) in enumerate(store.entries):
        places.setdefault(c, []).append(index)
    found = []
    for i in range(count):
        query = i % len(store.entries)
        image, c = store.entries[query]
        supports: list[int] = []
        while len(supports) < shots:
            drawn = places[c][generator.randint(len(places[c]))]
            if store.entries[drawn][0] != image:
                supports.append(drawn)
        found.append((query, supports))
    return found


@torch.inference_mode()
def test(arguments, store: Store, base: Store, out: dict) -> None:
    """hsnet-2021: 400 x 400 masks; with several shots the published vote and the mean probability."""
    model = network(arguments).eval()
    kept = torch.load(arguments.run / "checkpoint.pt", weights_only=True)
    model.load_state_dict(kept["average"], strict=False)
    move = Transform(arguments.transform, base)
    generator = torch.Generator().manual_seed(0)
    rows: list[dict] = []
    done: dict = {}

    def taps(entry: int) -> list[Tensor]:
        return move([tap[None].float() for tap in store.taps(entry)])

    def noise(features: list[Tensor]) -> list[Tensor]:
        """Random directions wherever there are features, with the spread of each channel."""
        found = []
        for tap in features:
            inside = (tap != 0).any(dim=1, keepdim=True)
            drawn = torch.randn(tap.shape, generator=generator) * tap.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-4)
            found.append(units(drawn * inside))
        return found

    for query, supports in protocol_episodes(store, arguments.shots, arguments.count):
        key = (query, *supports)
        if key not in done:
            target = store.mask(query, 400)
            changes = {"own": lambda f: f}
            if arguments.ablate:
                changes |= {"noise": noise, "zero": lambda f: [torch.zeros_like(tap) for tap in f]}
            found: dict[str, list[Tensor]] = {how: [] for how in changes}
            asked = [units(tap) for tap in taps(query)]
            for support in supports:
                shown = (store.mask(support, store.side) == 1).float()[None]
                features = sides(taps(support), shown, arguments.rest)
                for how, change in changes.items():
                    with torch.autocast("cpu", torch.bfloat16):
                        logits = model.logits(asked, [change(side) for side in features], (400, 400))
                    found[how].append(logits[0].float())
            row = {"class": store.entries[query][1], "counts": {}}
            for how, shots in found.items():
                logits = torch.stack(shots)
                votes = (logits[:, 1] > logits[:, 0]).sum(dim=0)
                joined = {
                    "vote": votes / votes.max().clamp_min(1) >= 0.5,
                    "mean": logits.softmax(dim=1)[:, 1].mean(dim=0) > 0.5,
                }
                known, truth = target != IGNORE, target == 1
                for name, mask in joined.items():
                    both = int((mask & truth & known).sum()), int(((mask | truth) & known).sum())
                    row["counts"][f"{how}, {name}"] = both
            done[key] = row
            if len(done) % 50 == 0:
                print(len(done), flush=True)
        rows.append(done[key])
    result = {}
    for key in rows[0]["counts"]:
        per_class = {}
        for c in sorted({row["class"] for row in rows}):
            counts = np.sum([row["counts"][key] for row in rows if row["class"] == c], axis=0)
            per_class[PASCAL[c]] = round(100 * counts[0] / max(counts[1], 1), 2)
        result[key] = {"mIoU": round(float(np.mean(list(per_class.values()))), 2), "classes": per_class}
    backbone = Path(arguments.backbone[0]).name
    out[f"{backbone}, step {kept['step']}, {arguments.shots} shots, {arguments.count} episodes"] = result
    print(json.dumps(result, indent=1))


def settings(arguments) -> dict:
    left_out = ("data", "cache", "out", "what", "threads")
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in vars(arguments).items()
        if key not in left_out and key != "result"
    }


def features_folder(cache: Path, backbone: str, crossed: dict[int, str]) -> Path:
    """Return the folder of the features of a backbone."""
    mark = hashlib.sha256(json.dumps([backbone, sorted(crossed.items())]).encode()).hexdigest()[:8]
    return cache / f"{Path(backbone).name}-{mark}"


def save(arguments) -> None:
    """Merge this call's part into the result file."""
    result = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    place = result.setdefault(arguments.name, {})
    place.setdefault(arguments.what, {}).update(arguments.result)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["features", "diagnose", "train", "test"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="of the square inputs")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--backbone", nargs="+", default=["lite0"])
    parser.add_argument("--crossed", nargs="*", default=[], help="FIRST_CLASS=FOLDER, for five classes each")
    parser.add_argument("--name", default="run", help="of this configuration in the result")
    parser.add_argument("--cache", type=Path, default=Path("runs/hsnet-alone-features"))
    parser.add_argument("--run", type=Path, default=Path("runs/hsnet-alone"))
    parser.add_argument("--kinds", nargs="*", help="of features in the diagnosis; all unless given")
    parser.add_argument("--rest", action="store_true", help="correlate with the support's background too")
    parser.add_argument("--transform", choices=["none", "centred", "standardised"], default="none")
    parser.add_argument("--channels", type=int, nargs=3, default=[16, 32, 64])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--cosine", action="store_true")
    parser.add_argument("--loss", choices=["cross-entropy", "overlap", "both"], default="both")
    parser.add_argument("--power", type=float, default=0.5, help="classes are drawn by their entries to this power")
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--held", nargs="*", default=[], help="base classes that are measured on, not trained on")
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--ablate", action="store_true", help="test with noise and zeros for the correlations too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("result.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    crossed = {}
    for one in arguments.crossed:
        first, _, folder = one.partition("=")
        crossed.update({int(first) + i: folder for i in range(5)})
    arguments.result = {}

    def store(split: str, backbone: str = arguments.backbone[0]) -> Store:
        cache = features_folder(arguments.cache, backbone, crossed)
        replaced = crossed if split == "trn" else {}
        return Store(arguments.data, cache, backbone, split, arguments.fold, replaced, arguments.side)

    if arguments.what == "features":
        for part in (store("trn"), store("val")):
            for number, (name, image) in enumerate(part.row_of):
                part.fill(name, image)
                if number % 300 == 0:
                    print(f"{number} of {len(part.row_of)}", flush=True)
    elif arguments.what == "diagnose":
        diagnose(arguments, store("trn"), store("val"), arguments.result)
        save(arguments)
    elif arguments.what == "train":
        train(arguments, [store("trn", backbone) for backbone in arguments.backbone], arguments.result)
    else:
        test(arguments, store("val"), store("trn"), arguments.result)
        save(arguments)


if __name__ == "__main__":
    main()
