"""What each part of a few-shot model is worth: every part replaced by zeros, by noise and by another class's.

    python experiments/01-ablation/run.py --data DATA [--model hsnet-lite0] [--sets voc davis ccp camvid]

The model is a bundled one or a folder of `likewise train`. Backbone features are cached per image, so all variants
share them. Counts are kept per query: an interrupted run resumes, and intervals are paired over query images.
Masks are read before `predict.edges`, at the size of the image. One thread is enough: --threads 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from likewise.hypercorrelation.supports import Support, SupportLevel
from likewise.models.hsnet import CAUTION, STRIDES, HSNet
from likewise.models.hsnet_learned import relate_learned
from likewise.prototypes import LEAST, MOST_TRUSTED, OTHER_SCENE, SCALE, SHRINKAGE, SURE, Shown, show
from likewise.weights import load_trained

SIDE = 320
LEAST_PIXELS = 2048
"""Fewest pixels of a class in an image that counts as showing it, where no list says so."""
IGNORE = 255
SHOTS = (1, 5)
MARGIN_SHOTS = (1, 2, 3, 5)
MARGINS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
"""Subtracted from the foreground's logit in the closed forms with a margin."""
PRIORS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
"""Likewise, times the logarithm of the odds against the object: its background's area by its own in the examples."""
PASCAL = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle"),
    *("bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CAMVID = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass
class ImageSet:
    """Images of each class and where they lie."""

    name: str
    images: dict[str, list[str]]
    image_path: object
    read_mask: object  # (image, class) -> uint8 (h, w) with 0, 1, IGNORE


def labels_of(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def one_class(labels: np.ndarray, value: int) -> np.ndarray:
    return np.where(labels == IGNORE, IGNORE, labels == value).astype(np.uint8)


def by_pixels(names: list[str], read, values: dict[str, int], fewest: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in values}
    for image in names:
        counts = np.bincount(read(image).ravel(), minlength=256)
        for name, value in values.items():
            if counts[value] >= LEAST_PIXELS:
                found[name].append(image)
    return {name: images for name, images in found.items() if len(images) >= fewest}


def signature(path: Path) -> np.ndarray:
    """A grey thumbnail of 16 x 16 pixels as a vector of length one and mean zero."""
    values = np.asarray(Image.open(path).convert("L").resize((16, 16), Image.Resampling.BOX), np.float32).ravel()
    values = values - values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


def voc(data: Path, name: str, folds: list[int], fresh_only: bool = True) -> ImageSet:
    """The validation lists of PASCAL-5i; `fresh_only`, without images that stand in the co-segmentation groups too."""
    home = data / "VOC2012"
    groups = np.stack([signature(path) for path in sorted((data / "VOC-coseg/image").glob("*/*.jpg"))])
    images: dict[str, list[str]] = {PASCAL[5 * fold + i]: [] for fold in folds for i in range(5)}
    fresh: dict[str, bool] = {}
    for fold in folds:
        for line in (data / f"splits/pascal/val/fold{fold}.txt").read_text().split():
            image, _, number = line.rpartition("__")
            if not (home / f"JPEGImages/{image}.jpg").is_file():
                continue
            if image not in fresh:
                fresh[image] = not fresh_only or bool(
                    (groups @ signature(home / f"JPEGImages/{image}.jpg")).max() < 0.95
                )
            if fresh[image]:
                images[PASCAL[int(number) - 1]].append(image)
    return ImageSet(
        name,
        {name: found for name, found in images.items() if len(found) > max(SHOTS)},
        lambda image: home / f"JPEGImages/{image}.jpg",
        lambda image, c: one_class(labels_of(home / f"SegmentationClassAug/{image}.png"), PASCAL.index(c) + 1),
    )


def davis(data: Path) -> ImageSet:
    home = data / "DAVIS"
    images = {
        folder.name: [f"{folder.name}/{path.stem}" for path in sorted(folder.glob("*.jpg"))]
        for folder in sorted((home / "JPEGImages/480p").iterdir())
    }
    return ImageSet(
        "davis",
        images,
        lambda image: home / f"JPEGImages/480p/{image}.jpg",
        lambda image, _: (labels_of(home / f"Annotations/480p/{image}.png") > 0).astype(np.uint8),
    )


def ccp(data: Path) -> ImageSet:
    home = data / "CCP"
    names = sorted(path.stem for path in (home / "labels").glob("*.png"))
    photo = {path.stem: path for path in (home / "photos").iterdir()}
    names = [name for name in names if name in photo]

    def read(image: str) -> np.ndarray:
        return labels_of(home / f"labels/{image}.png")

    images = by_pixels(names, read, {str(value): value for value in range(1, 59)}, fewest=20)
    return ImageSet("ccp", images, lambda image: photo[image], lambda image, c: one_class(read(image), int(c)))


def camvid(data: Path) -> ImageSet:
    home = data / "CamVid"
    photo = {path.stem: path for path in (home / "val").iterdir()}
    names = sorted(photo)

    def read(image: str) -> np.ndarray:
        labels = labels_of(home / f"valannot/{image}.png")
        return np.where(labels == 11, IGNORE, labels).astype(np.uint8)

    images = by_pixels(names, read, {name: value for value, name in enumerate(CAMVID)}, fewest=12)
    return ImageSet(
        "camvid",
        images,
        lambda image: photo[image],
        lambda image, c: one_class(read(image), CAMVID.index(c)),
    )


def open_set(data: Path, name: str) -> ImageSet:
    if name == "voc":
        return voc(data, "voc", [0, 1, 2, 3])
    if name == "voc-all":
        return voc(data, name, [0, 1, 2, 3], fresh_only=False)
    if name.startswith("fold"):
        return voc(data, name, [int(name[4:])], fresh_only=False)
    return {"davis": davis, "ccp": ccp, "camvid": camvid}[name](data)


@dataclass(frozen=True)
class Episode:
    """A query, its five supports (the first is the one of one shot), and an episode of another class."""

    class_name: str
    query: str
    supports: tuple[str, ...]
    other_class: str
    other_query: str
    others: tuple[str, ...]


def episodes_of(dataset: ImageSet, queries: int, seed: int) -> list[Episode]:
    names, found = list(dataset.images), []
    for name, images in dataset.images.items():
        generator = np.random.default_rng([seed, zlib.crc32(f"{dataset.name} {name}".encode())])
        for query in generator.permutation(images)[:queries]:
            supports = generator.permutation([image for image in images if image != query])[: max(SHOTS)]
            other = str(generator.choice([n for n in names if n != name]))
            strangers = [image for image in dataset.images[other] if image not in images] or dataset.images[other]
            strangers = generator.choice(strangers, max(SHOTS) + 1, replace=len(strangers) <= max(SHOTS))
            found.append(
                Episode(
                    name,
                    str(query),
                    tuple(map(str, supports)),
                    other,
                    str(strangers[0]),
                    tuple(map(str, strangers[1:])),
                )
            )
    return found


# ------------------------------------------------------------------------------------------------------------ features


class Features:
    """Taps of the backbone, one file for each image, in half precision."""

    def __init__(self, network, folder: Path) -> None:
        self.network, self.folder = network, folder
        digest = hashlib.sha256()
        for _, value in sorted(network.backbone.state_dict().items()):
            digest.update(value.numpy().tobytes())
        spec = network.backbone.spec
        digest.update(" ".join(tap.module for tap in spec.taps).encode())
        self.folder = folder / digest.hexdigest()[:12]
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, path: Path) -> list[torch.Tensor]:
        place = self.folder / f"{'-'.join(path.parts[-3:])}.pt"
        if place.is_file():
            return [tap.float() for tap in torch.load(place, weights_only=True)]
        image = Image.open(path).convert("RGB")
        scale = SIDE / (image.width * image.height) ** 0.5
        size = [max(32, round(side * scale / 16) * 16) for side in image.size]
        pixels = torch.from_numpy(np.array(image.resize(size, Image.Resampling.BILINEAR)))[None]
        backbone = self.network.backbone
        taps = [tap.half().contiguous() for tap in backbone(backbone.normalise(pixels))]
        torch.save(taps, place)
        return [tap.float() for tap in taps]


def compared(network, taps: list[torch.Tensor]) -> torch.Tensor:
    names = network.config.prototype_taps if isinstance(network, HSNet) else ("blocks.4.2", "blocks.5.3")
    chosen = [tap for tap, where in zip(taps, network.backbone.taps, strict=True) if where.module in names]
    size = chosen[0].shape[-2:]
    return torch.cat(
        [F.interpolate(tap, size=size, mode="bilinear") if tap.shape[-2:] != size else tap for tap in chosen], 1
    )


def input_size(network, taps: list[torch.Tensor]) -> tuple[int, int]:
    """The size of the input, from stride 16 exactly, as inputs are multiples of 16."""
    tap = next(tap for tap, where in zip(taps, network.backbone.taps, strict=True) if where.stride == 16)
    return tap.shape[2] * 16, tap.shape[3] * 16


def at_size(mask: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    covered = F.adaptive_avg_pool2d(torch.from_numpy(mask == 1)[None].float(), size)
    whole = covered >= 0.5
    return (whole if whole.any() else covered > 0).float()


@dataclass
class Learned:
    """What is kept of one example."""

    shown: Shown
    levels: dict[int, SupportLevel] | None
    area: float
    plain: torch.Tensor  # (2, c): the mean features as PANet has them


def learn(network, taps: list[torch.Tensor], mask: np.ndarray) -> Learned:
    foreground = at_size(mask, input_size(network, taps))
    features = compared(network, taps)
    shown = Shown(*(part[0] for part in show(features, 1 - foreground, foreground)))
    own = torch.from_numpy(mask)[None]
    plain = show(features, (own == 0).float(), (own == 1).float()).means[0]
    if not isinstance(network, HSNet):
        small = F.adaptive_avg_pool2d(foreground, (foreground.shape[1] // 8, foreground.shape[2] // 8)) > 0
        return Learned(shown, None, small.float().mean().item(), plain)
    masked = network.support_features(taps, foreground)
    levels = {stride: SupportLevel.of([tap[0] for tap in network.of_stride(masked, stride)]) for stride in STRIDES}
    return Learned(shown, levels, levels[8].area, plain)


def noise_levels(levels: dict[int, SupportLevel], generator: torch.Generator) -> dict[int, SupportLevel]:
    """Random directions with the spread of each channel, at the same positions."""
    noisy = {}
    for stride, level in levels.items():
        features = tuple(
            F.normalize(
                torch.randn(tap.shape, generator=generator) * tap.std(dim=0, unbiased=False).clamp_min(1e-4), dim=1
            )
            for tap in level.features
        )
        noisy[stride] = SupportLevel(features, level.positions, level.plane)
    return noisy


def zero_levels(levels: dict[int, SupportLevel]) -> dict[int, SupportLevel]:
    return {
        stride: SupportLevel(tuple(torch.zeros_like(tap) for tap in level.features), level.positions, level.plane)
        for stride, level in levels.items()
    }


# ---------------------------------------------------------------------------------------------------------- closed form


def weights_of(areas: list[float]) -> torch.Tensor:
    """(s, 2): the square root of the area of each side, sums are 1."""
    sides = torch.tensor([[1 - area, area] for area in areas]).clamp_min(1e-6).sqrt()
    return sides / sides.sum(dim=0)


def whitening_of(shown: list[Shown], generator: torch.Generator | None = None) -> torch.Tensor | None:
    """(c, c), or None for one example; with a generator, the same gains along random directions."""
    shots = len(shown)
    if shots == 1:
        return None
    spread = Shown(*(torch.stack(parts)[None] for parts in zip(*shown, strict=True))).spread()[0]
    variances, directions = torch.linalg.eigh(spread)
    variances = variances.clamp_min(0)
    ridge = SHRINKAGE / min(shots - 1, MOST_TRUSTED) * variances.mean().clamp_min(1e-6)
    if generator is not None:
        directions = torch.linalg.qr(torch.randn(directions.shape, generator=generator))[0]
    return (1 + variances / ridge).rsqrt()[:, None] * directions.T


def cosines(features: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """(2, h, w) from (c, h, w) and (2, c)."""
    c, h, w = features.shape
    return (F.normalize(means, dim=1, eps=1e-8) @ F.normalize(features.reshape(c, -1), dim=0, eps=1e-8)).view(2, h, w)


def own_means(features: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """(2, c): the mean features of the positions that are surely background, foreground."""
    flat = (SCALE * found).softmax(dim=0).flatten(1)
    sure = flat > torch.tensor(SURE)[:, None]
    least = flat.topk(min(LEAST, flat.shape[1]), dim=1).values[:, -1:]
    sure = torch.where(sure.any(dim=1, keepdim=True), sure, flat >= least).float()
    return sure @ features.flatten(1).T / sure.sum(dim=1, keepdim=True)


def moved(means: torch.Tensor, own: torch.Tensor, shots: int) -> torch.Tensor:
    distance = 1 - F.cosine_similarity(own[0], means[0], dim=0)
    count = (distance / OTHER_SCENE).square().clamp_max(1)
    return (shots**2 * means + count * own) / (shots**2 + count)


def whiten(whitening: torch.Tensor | None, features: torch.Tensor) -> torch.Tensor:
    if whitening is None:
        return features
    return (whitening @ features.flatten(1)).view(features.shape)


# ------------------------------------------------------------------------------------------------------------- variants


class Answer:
    """All variants for one episode and one number of shots."""

    def __init__(self, network, episode: Episode, shots: int, query, other_query, supports, others, encoded, seed: int):
        self.network, self.shots, self.encoded = network, shots, encoded
        self.size = query["size"]
        self.features, self.other_features = query["features"], other_query["features"]
        self.supports, self.others = supports[:shots], others[:shots]
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = weights_of([one.area for one in self.supports])
        self.means = torch.einsum("sk,skc->kc", self.weights, torch.stack([s.shown.means for s in self.supports]))
        self.other_means = torch.einsum(
            "sk,skc->kc", weights_of([o.area for o in self.others]), torch.stack([o.shown.means for o in self.others])
        )
        self.whitening = whitening_of([s.shown for s in self.supports])
        self.caution = CAUTION * (1 - 1 / shots)

    def randn(self, shape) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def alike(self, means=None, whitening="own", own="query", self_support=True) -> torch.Tensor:
        """(4, h, w), or (2, h, w) without self-support."""
        means = self.means if means is None else means
        whitening = self.whitening if isinstance(whitening, str) else whitening
        features = whiten(whitening, self.features)
        means = means if whitening is None else means @ whitening.T
        found = cosines(features, means)
        if not self_support:
            return found
        guessed = own_means(features, found)
        if own == "noise":
            guessed = guessed.mean(dim=1, keepdim=True) + guessed.std(dim=1, keepdim=True) * self.randn(guessed.shape)
        elif own == "other":
            strange = whiten(whitening, self.other_features)
            theirs = self.other_means if whitening is None else self.other_means @ whitening.T
            guessed = own_means(strange, cosines(strange, theirs))
        target = means if own == "zero" else moved(means, guessed, self.shots)
        return torch.cat([found, cosines(features, target)])

    def prototype_logits(self, alike: torch.Tensor, trust: float, caution: float) -> torch.Tensor:
        logits = SCALE * trust * F.interpolate(alike[None, -2:], size=self.size, mode="bilinear")[0]
        return logits - torch.tensor([0.0, caution])[:, None, None]

    def residual(self, alike: torch.Tensor, which: str) -> torch.Tensor:
        encoded = (self.weights[:, 1, None, None, None] * torch.stack(self.encoded[which][: self.shots])).sum(dim=0)
        return self.network.decode(encoded[None], self.size, alike[None])[0] / self.shots**2

    def full(self, alike: torch.Tensor, which: str = "own", residual: torch.Tensor | None = None) -> torch.Tensor:
        residual = self.residual(alike, which) if residual is None else residual
        return self.prototype_logits(alike, self.network.trust.item(), self.caution) + residual

    def margins(self) -> dict[str, torch.Tensor]:
        """Closed forms with and without self-support, whose foreground loses a constant."""
        found = {}
        for name, alike in (("closed form", self.alike()), ("without self-support", self.alike(self_support=False))):
            logits = self.prototype_logits(alike, 1.0, 0.0)
            for margin in MARGINS:
                found[f"{name}, margin {margin}"] = logits - torch.tensor([0.0, margin])[:, None, None]
            rest = torch.tensor([(1 - one.area) / one.area for one in self.supports]).log().mean().item()
            for prior in PRIORS:
                found[f"{name}, prior {prior}"] = logits - torch.tensor([0.0, prior * rest])[:, None, None]
        return found

    def variants(self) -> dict[str, torch.Tensor]:
        """Logits (2, h, w) of every variant."""
        plain = torch.stack([s.plain for s in self.supports]).mean(dim=0)
        found = {
            "panet": self.prototype_logits(cosines(self.features, plain), 1.0, 0.0),
            "prototypes": self.prototype_logits(self.alike(whitening=None, self_support=False), 1.0, 0.0),
            "prototypes + self-support": self.prototype_logits(self.alike(whitening=None), 1.0, self.caution),
            "prototypes + whitening": self.prototype_logits(self.alike(self_support=False), 1.0, self.caution),
            "closed form": self.prototype_logits(self.alike(), 1.0, self.caution),
            "closed form, no caution": self.prototype_logits(self.alike(), 1.0, 0.0),
        }
        if not isinstance(self.network, HSNet):
            return found
        alike = self.alike()
        residual = self.residual(alike, "own")
        found["whole"] = self.full(alike, residual=residual)
        for how in ("zero", "noise", "other"):
            found[f"correlations: {how}"] = self.full(alike, how)
        spread = self.means.std(dim=1, keepdim=True)
        for how, means in (
            ("zero", torch.zeros_like(self.means)),
            ("noise", self.randn(self.means.shape) * spread),
            ("other", self.other_means),
        ):
            found[f"prototypes: {how}"] = self.full(self.alike(means=means))
            found[f"self-support: {how}"] = self.full(self.alike(own=how))
        if self.shots > 1:
            found["whitening: zero"] = self.full(self.alike(whitening=None))
            noisy = whitening_of([s.shown for s in self.supports], self.generator)
            found["whitening: noise"] = self.full(self.alike(whitening=noisy))
            found["whitening: other"] = self.full(self.alike(whitening=whitening_of([o.shown for o in self.others])))
        found["decoder: zero"] = self.full(alike, residual=torch.zeros(()))
        coarse = tuple(-(-side // 8) for side in self.size)
        noise = F.interpolate(self.randn((1, 2, *coarse)), size=self.size, mode="bilinear")[0]
        found["decoder: noise"] = self.full(
            alike, residual=residual.mean(dim=(1, 2), keepdim=True) + residual.std(dim=(1, 2), keepdim=True) * noise
        )
        found["decoder: other"] = self.full(alike, residual=self.residual(self.alike(means=self.other_means), "other"))
        return found


def related(network, query_taps, learned: list[Learned]) -> list[torch.Tensor]:
    units = [tap / (tap.norm(dim=1, keepdim=True) + 1e-5) for tap in query_taps]
    return [relate_learned(network, units, Support(one.levels, one.shown))[0] for one in learned]


def counts_of(logits: torch.Tensor, target: np.ndarray) -> tuple[int, int]:
    resized = F.interpolate(logits[None], size=target.shape, mode="bilinear")[0]
    mask = (resized[1] > resized[0]).numpy() & (target != IGNORE)
    truth = target == 1
    return int((mask & truth).sum()), int((mask | truth).sum())


@torch.inference_mode()
def measure(network, dataset: ImageSet, arguments, features: Features, place: Path) -> list[dict]:
    rows = [json.loads(line) for line in place.read_text().splitlines()] if place.is_file() else []
    done = {(row["class"], row["query"]) for row in rows}
    episodes = episodes_of(dataset, arguments.queries, arguments.seed)
    todo = [e for e in episodes if (e.class_name, e.query) not in done]
    learned: dict[tuple[str, str], Learned] = {}
    zeros: dict[tuple, torch.Tensor] = {}

    def example(image: str, name: str) -> Learned:
        key = image, name
        if key not in learned:
            learned[key] = learn(network, features(dataset.image_path(image)), dataset.read_mask(image, name))
        return learned[key]

    started = time.monotonic()
    with place.open("a") as file:
        for number, episode in enumerate(todo):
            seed = zlib.crc32(f"{episode.class_name} {episode.query}".encode())
            taps = features(dataset.image_path(episode.query))
            other_taps = features(dataset.image_path(episode.other_query))
            query = {"features": compared(network, taps)[0], "size": input_size(network, taps)}
            other_query = {"features": compared(network, other_taps)[0]}
            supports = [example(image, episode.class_name) for image in episode.supports]
            others = [example(image, episode.other_class) for image in episode.others]
            encoded = {}
            if isinstance(network, HSNet) and not arguments.margins:
                generator = torch.Generator().manual_seed(seed)
                noisy = [Learned(s.shown, noise_levels(s.levels, generator), s.area, s.plain) for s in supports]
                empty = [Learned(s.shown, zero_levels(s.levels), s.area, s.plain) for s in supports[:1]]
                grid = (query["size"], *(level.plane for level in empty[0].levels.values()))
                if grid not in zeros:
                    zeros[grid] = related(network, taps, empty)[0]
                encoded = {
                    "own": related(network, taps, supports),
                    "zero": [zeros[grid]] * len(supports),
                    "noise": related(network, taps, noisy),
                    "other": related(network, taps, others),
                }
            target = dataset.read_mask(episode.query, episode.class_name)
            row = {"class": episode.class_name, "query": episode.query, "counts": {}}
            for shots in MARGIN_SHOTS if arguments.margins else SHOTS:
                answer = Answer(network, episode, shots, query, other_query, supports, others, encoded, seed)
                for name, logits in (answer.margins() if arguments.margins else answer.variants()).items():
                    row["counts"][f"{shots} {name}"] = counts_of(logits, target)
            file.write(json.dumps(row) + "\n")
            file.flush()
            rows.append(row)
            if number % 20 == 0:
                print(f"{dataset.name}: {number + 1} of {len(todo)}, {time.monotonic() - started:.0f} s", flush=True)
    wanted = {(e.class_name, e.query) for e in episodes}
    return [row for row in rows if (row["class"], row["query"]) in wanted]


# -------------------------------------------------------------------------------------------------------------- summary


def merged(rows: list[dict], other: Path) -> list[dict]:
    """The rows with the counts that `other` has of the same queries; as they are where it lacks one."""
    if not other.is_file():
        return rows
    found = {(row["class"], row["query"]): row["counts"] for row in map(json.loads, other.read_text().splitlines())}
    if any((row["class"], row["query"]) not in found for row in rows):
        return rows
    return [{**row, "counts": {**row["counts"], **found[row["class"], row["query"]]}} for row in rows]


def resampled(rows: list[dict], key: str, resamples: int) -> np.ndarray:
    """(resamples + 1,) mean IoU over classes; the first of all queries, the others of queries drawn within classes."""
    names = sorted({row["class"] for row in rows})
    per_class = []
    for name in names:
        counts = np.array([row["counts"][key] for row in rows if row["class"] == name], float)
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        drawn = np.concatenate(
            [
                np.ones((1, len(counts))),
                generator.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples),
            ]
        )
        sums = drawn @ counts
        per_class.append(sums[:, 0] / np.maximum(sums[:, 1], 1))
    return np.mean(per_class, axis=0)


def summary(of_sets: dict[str, list[dict]], resamples: int = 2000) -> dict:
    """For each set and number of shots: IoU of every variant, and its difference to the whole model, with intervals."""
    found: dict = {}
    for name, rows in of_sets.items():
        found[name] = {"queries": len(rows), "classes": sorted({row["class"] for row in rows})}
        keys = list(rows[0]["counts"])
        drawn = {key: resampled(rows, key, resamples) for key in keys}
        for shots in sorted({int(key.partition(" ")[0]) for key in keys}):
            table = {}
            for key in keys:
                if not key.startswith(f"{shots} "):
                    continue
                entry = {"mIoU": round(100 * drawn[key][0], 2)}
                for against in ("whole", "panet"):
                    if f"{shots} {against}" in drawn and key != f"{shots} {against}":
                        gap = 100 * (drawn[key] - drawn[f"{shots} {against}"])
                        low, high = np.percentile(gap[1:], [2.5, 97.5])
                        entry[f"minus {against}"] = [round(gap[0], 2), round(low, 2), round(high, 2)]
                table[key.partition(" ")[2]] = entry
            found[name][f"{shots} shot"] = table
    return found


ABOUT = {
    "question": "Which part of the few-shot default matters?",
    "command": "python experiments/01-ablation/run.py --data DATA, then --margins; both with --model RUN --sets fold0",
    "protocol": "mIoU in percent: intersections and unions summed per class, mean over classes; 1-way; 320x320 pixels, "
    "aspect kept; without edge refinement; boundary ignored; supports drawn per query, seed 0",
    "spread": "95% paired bootstrap over the query images within each class, 2,000 resamples: [difference, low, high]",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="hsnet-lite0", help="a bundled model, or a folder of `likewise train`")
    parser.add_argument("--name", help="of the model in the result; its own unless given")
    parser.add_argument("--sets", nargs="+", default=["camvid", "voc", "davis", "ccp"], help="or fold0 ... fold3")
    parser.add_argument("--queries", type=int, default=8, help="of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--margins", action="store_true", help="closed forms with a margin, in place of the parts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("result.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, _ = load_trained(arguments.model)
    network.eval()
    name = arguments.name or Path(arguments.model).name
    features = Features(network, arguments.cache / "features")
    kind = "margins" if arguments.margins else "counts"
    for set_name in arguments.sets:
        dataset = open_set(arguments.data, set_name)
        place = arguments.cache / f"{kind}-{name}-{set_name}-{arguments.seed}.jsonl"
        rows = measure(network, dataset, arguments, features, place)
        result = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {**ABOUT, "models": {}}
        if not arguments.margins:
            other = arguments.cache / f"margins-{name}-{set_name}-{arguments.seed}.jsonl"
        else:
            other = arguments.cache / f"counts-{name}-{set_name}-{arguments.seed}.jsonl"
        result["models"].setdefault(name, {}).update(summary({set_name: merged(rows, other)}))
        inline = re.compile(r"\{\s+(\"mIoU\"[^}]*?)\s+\}")
        text = inline.sub(lambda found: "{" + " ".join(found[1].split()) + "}", json.dumps(result, indent=1))
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
