"""The dataset-level memory of MCIBI: mean features of each class over all training images seen so far.

Jin, Gong, Yu, Chu, Wang, Wang, Shao, "Mining Contextual Information Beyond Image for Semantic Segmentation", ICCV 2021.
    class probabilities --> read ----> context of each pixel
    features, labels -----> update --> vectors of the classes

Training changes the memory in `update` only. The published update resizes the features to the size of the labels;
`likewise.ops.resized_features` computes the same sums at the size of the features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed
from einops import einsum
from jaxtyping import Bool, Float, Int, Integer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from likewise.errors import MemoryMismatchError, ModelError, WeightsError, first_of
from likewise.io.atomic import write_atomically
from likewise.io.labels import IGNORE
from likewise.ops.features import plane_size
from likewise.ops.resized_features import ResizedFeatures

STRATEGIES = ("cosine_similarity", "mean")

MIN_MEAN_WEIGHT = 1e-6
"""Mean weight (1 - cosine) below which features differ from the memory only by single-precision rounding."""
MIN_SEEN_PROBABILITY = 1e-6
"""Smallest divisor of the context: a pixel with less probability for all seen classes gets a smaller context."""


class DatasetMemory(nn.Module):
    """Vectors of `c` channels in `m` slots for each of `k` classes, as buffers; there are no parameters.

    Args:
        classes: 1 to 255 names, in the order of their labels.
        channels: of the features (`c`).
        slots: vectors for each class (`m`); a pixel belongs to the slot with the highest cosine.
        strategy: weights of the pixels of a class: equal for "mean", or `1 - cosine` with the memory for
            "cosine_similarity" (the paper's choice).
        published: follow the published program: `read` counts an unseen class as zeros with its probability, and
            `update` shrinks a slot without pixels by `1 - momentum` if its class has pixels. Otherwise `read`
            distributes the probability of unseen classes over the others, and a slot without pixels stays unchanged.

    Attributes:
        vectors: (k, m, c), zero until seen.
        seen: (k, m), whether a vector has been set.
    """

    vectors: Tensor
    seen: Tensor

    def __init__(
        self,
        classes: Sequence[str],
        channels: int,
        *,
        slots: int = 1,
        strategy: str = "cosine_similarity",
        published: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= len(classes) <= IGNORE:
            raise ModelError(f"a memory needs 1 to {IGNORE} classes, not {len(classes)}")
        if slots < 1:
            raise ModelError(f"a memory needs at least one slot for each class, not {slots}")
        if strategy not in STRATEGIES:
            raise ModelError(f"no strategy {strategy!r}; choose one of: {', '.join(STRATEGIES)}")
        self.classes = tuple(classes)
        self.strategy = strategy
        self.published = published
        self.register_buffer("vectors", torch.zeros(len(classes), slots, channels))
        self.register_buffer("seen", torch.zeros(len(classes), slots, dtype=torch.bool))

    def read(self, probabilities: Float[Tensor, "b k h w"]) -> Float[Tensor, "b m c h w"]:
        """Return each pixel's context from every slot: the vectors of the classes, weighted by their probabilities.

        Without any seen class the context is zero. Gradients reach the probabilities only. They use the memory that was
        read, even if `update` runs before the backward pass; those of the published program use the updated memory.
        """
        vectors = (self.vectors * self.seen[..., None]).to(probabilities.dtype)
        context = einsum(probabilities, vectors, "b k h w, k m c -> b m c h w")
        if self.published:
            return context
        share = einsum(probabilities, self.seen.to(probabilities.dtype), "b k h w, k m -> b m h w")
        return context / share.clamp_min(MIN_SEEN_PROBABILITY)[:, :, None]

    def rows(self) -> tuple[Float[Tensor, "n c"], Int[Tensor, " n"]]:
        """Return a copy of the seen vectors and the class of each; with `published`, of all vectors."""
        counted = torch.ones_like(self.seen) if self.published else self.seen
        return self.vectors[counted], counted.nonzero()[:, 0]

    @torch.no_grad()
    def update(self, features: Float[Tensor, "b c h w"], labels: Integer[Tensor, "b hl wl"], momentum: float) -> None:
        """Move the vectors of each labelled class towards the mean feature of its pixels; `momentum` is in [0, 1].

        `vector = (1 - momentum) * vector + momentum * mean`. While a class has unseen slots, the first of them takes
        the mean instead and the others stay unchanged. If all pixels of a class coincide with its vector, the paper's
        weights are 0 / 0; here they are equal. A batch with a feature that is not finite changes nothing.

        Features may have any size; their sums are those of features resized to the labels (255 is void), corners not
        aligned. In a process group every process calls this with its part of the batch. Sums are reduced, not means, so
        all memories equal that of one process with the whole batch.

        Raises:
            MemoryMismatchError: a label that is not a class.
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], not {momentum}")
        check_labels(labels, len(self.classes))
        waiting = ~self.seen.all(dim=1, keepdim=True)
        with torch.autocast(features.device.type, enabled=False):
            mean, pixels = self._means(features.to(self.vectors.dtype), labels.long())
        has_pixels = (pixels > 0) & mean.isfinite().all(dim=2)
        moved = self.vectors.lerp(mean, momentum)
        if self.published:
            moved = moved.where(has_pixels[..., None], (1 - momentum) * self.vectors)
            has_pixels = has_pixels | (has_pixels.any(dim=1, keepdim=True) & ~waiting)
        new = mean.where(waiting[..., None], moved)
        self.vectors.copy_(new.where(has_pixels[..., None], self.vectors))
        self.seen |= has_pixels

    def _means(
        self, features: Float[Tensor, "b c h w"], labels: Int[Tensor, "b hl wl"]
    ) -> tuple[Float[Tensor, "k m c"], Float[Tensor, "k m"]]:
        """Return the weighted mean feature of the pixels of each slot, over all processes, and their number."""
        resized = ResizedFeatures(plane_size(features), (labels.shape[1], labels.shape[2]), like=features)
        equal = torch.full_like(self.seen, self.strategy == "mean") | ~self.seen.all(dim=1, keepdim=True)

        def over_the_batch() -> tuple[Tensor, Tensor, Tensor]:
            # one image at a time needs the least memory
            sums = sum(self._sums(*image, resized, equal) for image in zip(features, labels, strict=True))
            assert isinstance(sums, Tensor)
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(sums)
            total, weight, pixels = sums.split([features.shape[1], 1, 1], dim=2)
            return total, weight, pixels

        total, weight, pixels = over_the_batch()
        coincide = (weight <= MIN_MEAN_WEIGHT * pixels) & (pixels > 0)
        if coincide.any():
            equal |= coincide[..., 0]
            total, weight, pixels = over_the_batch()
        return total / weight.where(pixels > 0, 1), pixels[..., 0]

    def _sums(
        self,
        features: Float[Tensor, "c h w"],
        labels: Int[Tensor, "hl wl"],
        resized: ResizedFeatures,
        equal: Bool[Tensor, "k m"],
    ) -> Float[Tensor, "k m c+2"]:
        """Return for each slot the weighted sum of its pixels' features, the sum of weights and the number of pixels.

        Where `equal`, all pixels of a slot weigh 1.
        """
        classes, slots = self.seen.shape
        valid = labels != IGNORE
        labels = labels.where(valid, 0)
        cosine, slot = self._nearest_slot(features, labels, resized)
        slot = slot.where(self.seen.all(dim=1)[labels], (~self.seen).int().argmax(dim=1)[labels])
        row = labels * slots + slot
        weight = (1 - cosine).clamp_min_(0).masked_fill_(equal.flatten()[row], 1)
        row.masked_fill_(~valid, classes * slots)  # one more row for void pixels
        planes = resized.transposed(weight, row, classes * slots + 1)[:-1]
        pixels = row.flatten().bincount(minlength=classes * slots + 1)[:-1].to(planes.dtype)
        total = planes @ features.flatten(1).mT
        return torch.cat([total, planes.sum(dim=1, keepdim=True), pixels[:, None]], dim=1).view(classes, slots, -1)

    def _nearest_slot(
        self, features: Float[Tensor, "c h w"], labels: Int[Tensor, "hl wl"], resized: ResizedFeatures
    ) -> tuple[Float[Tensor, "hl wl"], Int[Tensor, "hl wl"]]:
        """Return the largest cosine of each resized feature with a vector of its class, and the slot of that vector."""
        slots = self.seen.shape[1]
        inner = self.vectors.flatten(0, 1) @ features.flatten(1)
        length = resized.squared_norm(features).sqrt_().clamp_min_(1e-8)
        lengths = self.vectors.norm(dim=2).clamp_min(1e-8)
        cosines = [
            resized.at_pixels(inner, labels * slots + slot).div_(length).div_(lengths[:, slot][labels])
            for slot in range(slots)
        ]
        cosine, slot = torch.stack(cosines).max(dim=0)
        return cosine, slot

    @torch.no_grad()
    def fill(self, vectors: Float[Tensor, "k m c"]) -> None:
        """Set all vectors, for example to cluster centres of a trained backbone's features, and mark them as seen."""
        if vectors.shape != self.vectors.shape:
            raise MemoryMismatchError(f"vectors have shape {tuple(vectors.shape)}, not {tuple(self.vectors.shape)}")
        self.vectors.copy_(vectors)
        self.seen.fill_(True)

    @torch.no_grad()
    def similarity(self, other: DatasetMemory | None = None) -> Float[Tensor, "k k2"]:
        """Return the largest cosine over slots of every class with every class of `other` (by default of this memory).

        NaN for an unseen class. Within one memory, large values off the diagonal mark classes that are hard to
        distinguish; between two snapshots, the diagonal measures how little each class has drifted.
        """
        other = self if other is None else other
        own, others = (
            memory.vectors / memory.vectors.norm(dim=2, keepdim=True).clamp_min(1e-8) for memory in (self, other)
        )
        cosine = einsum(own, others, "k m c, k2 m2 c -> k k2 m m2")
        both = self.seen[:, None, :, None] & other.seen[None, :, None, :]
        largest = cosine.masked_fill(~both, -torch.inf).amax(dim=(2, 3))
        return largest.masked_fill(~both.any(dim=3).any(dim=2), torch.nan)

    def save(self, path: str | Path) -> None:
        """Write the memory and its classes to a safetensors file."""
        settings = {"strategy": self.strategy, "published": self.published}
        metadata = {"classes": json.dumps(self.classes), "settings": json.dumps(settings)}
        with write_atomically(path) as part:
            part.write_bytes(save({name: value.contiguous() for name, value in self.state_dict().items()}, metadata))

    @classmethod
    def load(cls, path: str | Path, *, classes: Sequence[str] | None = None) -> DatasetMemory:
        """Return the memory of a file that `save` wrote; with `classes`, it must have these."""
        try:
            with safe_open(path, framework="pt") as file:
                vectors, seen = file.get_tensor("vectors"), file.get_tensor("seen")
                metadata = file.metadata() or {}
                named, settings = tuple(json.loads(metadata["classes"])), json.loads(metadata["settings"])
            memory = cls(named, vectors.shape[2], slots=vectors.shape[1], **settings)
            memory.load_state_dict({"vectors": vectors, "seen": seen})
            "".join(named)  # a TypeError unless they are texts
        except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{path}: not a saved memory ({error}); `DatasetMemory.save` writes one") from error
        if classes is not None:
            check_classes(classes, named, source=path)
        return memory


def check_labels(labels: Integer[Tensor, "b h w"], classes: int) -> None:
    """Raise a `MemoryMismatchError` that names and counts the values unless every label is a class or void."""
    wrong = ((labels < 0) | (labels >= classes)) & (labels != IGNORE)
    if wrong.any():
        values, counts = (found.tolist() for found in labels[wrong].unique(return_counts=True))
        listed = first_of([f"{value} ({count} pixels)" for value, count in zip(values, counts, strict=True)], 4)
        raise MemoryMismatchError(
            f"labels hold {listed}, but there are {classes} classes: use labels 0 to {classes - 1}, and {IGNORE} for "
            "void pixels"
        )


def check_classes(needed: Sequence[str], found: Sequence[str], *, source: str | Path) -> None:
    """Raise a `MemoryMismatchError` that names both lists unless they are equal."""
    if list(needed) == list(found):
        return
    pairs = enumerate(zip(needed, found, strict=False))
    where = next((index for index, (one, other) in pairs if one != other), min(len(needed), len(found)))
    raise MemoryMismatchError(
        f"{source}: a memory of {_listed(found)}, but this model has {_listed(needed)}; they differ from label {where} "
        "on. Use a memory of the same class list, or train one"
    )


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} classes ({first_of(names)})"


def polynomial_momentum(progress: float, *, start: float = 0.9, power: float = 0.9) -> float:
    """Return the paper's momentum after the fraction `progress` of training: from `start` to a hundredth of it.

    It does not depend on the learning rate.
    """
    end = start / 100
    return (1 - progress) ** power * (start - end) + end


def coupled_momentum(learning_rate: float, base_learning_rate: float, *, start: float = 0.9) -> float:
    """Return the published program's momentum, which is proportional to the learning rate, also during warm-up.

    It equals `polynomial_momentum` for a learning rate that falls from `base_learning_rate` to a hundredth of it by the
    same power. The program's settings for Cityscapes and COCO-Stuff have `start=1`.
    """
    return start * learning_rate / base_learning_rate
