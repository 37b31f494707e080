"""A memory of the whole data set: what the features of each class look like, over all the images seen so far.

Jin, Gong, Yu, Chu, Wang, Wang, Shao, "Mining Contextual Information Beyond Image for Semantic Segmentation", ICCV 2021.
`read` mixes the classes' vectors by a pixel's class probabilities; `update` moves them towards the features of labelled
pixels. Nothing else writes.

The published update resizes the features to the size of the labels. Resizing is linear, so `update` gives the same
numbers from what `likewise.ops.resized_features` finds at the size of the features.
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
from safetensors.torch import save_file
from torch import Tensor, nn

from likewise.io.labels import IGNORE
from likewise.ops.features import plane_size
from likewise.ops.resized_features import ResizedFeatures

STRATEGIES = ("cosine_similarity", "mean")

# Below this mean weight (1 - cosine) the features differ from the memory by rounding only.
COINCIDES = 1e-6
# A pixel that gives the seen classes less probability than this gets a fainter context, not a louder one.
LEAST_PROBABILITY = 1e-6


class MemoryMismatch(ValueError):
    """Labels or a saved memory that belong to other classes; the message names both sides."""


class DatasetMemory(nn.Module):
    """For each of `k` classes, `m` vectors of `c` channels, and whether each has been seen. No parameter.

    Args:
        classes: names, in the order of their labels, 1 to 255 of them.
        channels: of the features.
        slots: vectors for each class (`m`); with several, a pixel goes to the one it resembles most.
        strategy: how the pixels of a class are averaged: by "mean", or weighted by how little they resemble the
            memory, 1 - "cosine_similarity" (the paper's choice).
        published: as the published program does, read vectors never seen as zeros with their class's probability, and
            shrink by `1 - momentum` a slot to which no pixel of its class went. Otherwise a class never seen has no
            part in `read`, its probability going to the others, and a slot without pixels stays as it is.

    Attributes:
        vectors: (k, m, c), zero until seen.
        seen: (k, m).
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
            raise ValueError(f"a memory needs 1 to {IGNORE} classes, not {len(classes)}")
        if slots < 1:
            raise ValueError(f"a memory needs at least one slot for each class, not {slots}")
        if strategy not in STRATEGIES:
            raise ValueError(f"no strategy {strategy!r}; there are: {', '.join(STRATEGIES)}")
        self.classes = tuple(classes)
        self.strategy = strategy
        self.published = published
        self.register_buffer("vectors", torch.zeros(len(classes), slots, channels))
        self.register_buffer("seen", torch.zeros(len(classes), slots, dtype=torch.bool))

    def read(self, probabilities: Float[Tensor, "b k h w"]) -> Float[Tensor, "b m c h w"]:
        """Each pixel's context from every slot: the classes' vectors, mixed by its probabilities.

        Gradients go to the probabilities alone. They are those of the memory that was read, whatever `update` does
        before the backward pass; the published program's are those of the updated memory. Where no class has been
        seen the context is zero.
        """
        vectors = (self.vectors * self.seen[..., None]).to(probabilities.dtype)
        context = einsum(probabilities, vectors, "b k h w, k m c -> b m c h w")
        if self.published:
            return context
        share = einsum(probabilities, self.seen.to(probabilities.dtype), "b k h w, k m -> b m h w")
        return context / share.clamp_min(LEAST_PROBABILITY)[:, :, None]

    def rows(self) -> tuple[Float[Tensor, "n c"], Int[Tensor, " n"]]:
        """A copy of the vectors seen, and the class of each; all vectors, the zero ones too, if `published`."""
        counted = torch.ones_like(self.seen) if self.published else self.seen
        return self.vectors[counted], counted.nonzero()[:, 0]

    @torch.no_grad()
    def update(self, features: Float[Tensor, "b c h w"], labels: Integer[Tensor, "b hl wl"], momentum: float) -> None:
        """Move each labelled class towards the features of its pixels.

        While a class has slots never seen, the first of them takes the mean feature of its pixels and the others wait.
        Otherwise `vector = (1 - momentum) vector + momentum new`. Should all pixels of a class coincide with its
        vector, their weights are 0 / 0 in the paper; here they are equal. A batch with a feature that is not finite
        leaves the memory as it is: the loss tells of it, and a training that recovers finds its memory unharmed.

        In a process group every process must call this, each with its part of the batch. Sums are reduced, not
        means, so all memories become what one process with the whole batch would have.

        Args:
            features: as resized bilinearly (corners not aligned) to the size of the labels, though that is never done.
            labels: the class of each pixel, 255 for those that do not count.
            momentum: the weight of what is new, in [0, 1]; see `polynomial_momentum`.

        Raises:
            MemoryMismatch: a label that is no class.
            ValueError: a momentum outside [0, 1].
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; it is the weight of what is new, in [0, 1]")
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
        """The mean of the pixels of each slot, over all processes, and their number."""
        resized = ResizedFeatures(plane_size(features), (labels.shape[1], labels.shape[2]), like=features)
        alike = torch.full_like(self.seen, self.strategy == "mean") | ~self.seen.all(dim=1, keepdim=True)

        def over_the_batch() -> tuple[Tensor, Tensor, Tensor]:
            # one image at a time needs the least memory
            tallies = sum(self._tally(*image, resized, alike) for image in zip(features, labels, strict=True))
            assert isinstance(tallies, Tensor)
            total, weight, pixels = _over_processes(tallies).split([features.shape[1], 1, 1], dim=2)
            return total, weight, pixels

        total, weight, pixels = over_the_batch()
        coincide = (weight <= COINCIDES * pixels) & (pixels > 0)
        if coincide.any():
            alike |= coincide[..., 0]
            total, weight, pixels = over_the_batch()
        return total / weight.where(pixels > 0, 1), pixels[..., 0]

    def _tally(
        self,
        features: Float[Tensor, "c h w"],
        labels: Int[Tensor, "hl wl"],
        resized: ResizedFeatures,
        alike: Bool[Tensor, "k m"],
    ) -> Float[Tensor, "k m c+2"]:
        """For each slot: the sum of its pixels' features by their weights, that of the weights, how many pixels.

        Args:
            alike: the slots whose pixels all weigh 1.
        """
        classes, slots = self.seen.shape
        counted = labels != IGNORE
        labels = labels.where(counted, 0)
        cosine, slot = self._most_alike(features, labels, resized)
        slot = slot.where(self.seen.all(dim=1)[labels], (~self.seen).int().argmax(dim=1)[labels])
        row = labels * slots + slot
        weight = (1 - cosine).clamp_min_(0).masked_fill_(alike.flatten()[row], 1)
        row.masked_fill_(~counted, classes * slots)  # one more row, for those that do not count
        planes = resized.transposed(weight, row, classes * slots + 1)[:-1]
        pixels = row.flatten().bincount(minlength=classes * slots + 1)[:-1].to(planes.dtype)
        total = planes @ features.flatten(1).mT
        return torch.cat([total, planes.sum(dim=1, keepdim=True), pixels[:, None]], dim=1).view(classes, slots, -1)

    def _most_alike(
        self, features: Float[Tensor, "c h w"], labels: Int[Tensor, "hl wl"], resized: ResizedFeatures
    ) -> tuple[Float[Tensor, "hl wl"], Int[Tensor, "hl wl"]]:
        """The largest cosine of each resized feature with a vector of its class, and which slot that is."""
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
        """Start from given vectors, such as cluster centres of a trained backbone's features, all then seen.

        The published program starts empty and takes a class's first mean (`update`); that is our default too, since it
        needs no pass over the data.
        """
        if vectors.shape != self.vectors.shape:
            raise ValueError(f"vectors are {tuple(vectors.shape)}, needed are {tuple(self.vectors.shape)}")
        self.vectors.copy_(vectors)
        self.seen.fill_(True)

    @torch.no_grad()
    def similarity(self, other: DatasetMemory | None = None) -> Float[Tensor, "k k2"]:
        """The cosine of every class with every class of `other` (or of this memory), of the two slots most alike.

        NaN for a class never seen. Off the diagonal of a memory with itself: how hard classes are to tell apart. On
        that of a memory with an earlier one: how little each class has drifted.
        """
        other = self if other is None else other
        ours, theirs = (
            memory.vectors / memory.vectors.norm(dim=2, keepdim=True).clamp_min(1e-8) for memory in (self, other)
        )
        cosine = einsum(ours, theirs, "k m c, k2 m2 c -> k k2 m m2")
        both = self.seen[:, None, :, None] & other.seen[None, :, None, :]
        largest = cosine.masked_fill(~both, -torch.inf).amax(dim=(2, 3))
        return largest.masked_fill(~both.any(dim=3).any(dim=2), torch.nan)

    def save(self, path: str | Path) -> None:
        """Write the memory and its classes to a safetensors file."""
        settings = {"strategy": self.strategy, "published": self.published}
        metadata = {"classes": json.dumps(self.classes), "settings": json.dumps(settings)}
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, path, metadata=metadata)

    @classmethod
    def load(cls, path: str | Path, *, classes: Sequence[str] | None = None) -> DatasetMemory:
        """The memory of a file that `save` wrote.

        Args:
            classes: those it must be of.

        Raises:
            MemoryMismatch: it is of other classes.
            ValueError: not such a file.
        """
        try:
            with safe_open(path, framework="pt") as file:
                vectors, seen = file.get_tensor("vectors"), file.get_tensor("seen")
                metadata = file.metadata() or {}
                named, settings = json.loads(metadata["classes"]), json.loads(metadata["settings"])
        except (SafetensorError, OSError, KeyError) as error:
            raise ValueError(f"{path}: not a saved memory ({error}); `DatasetMemory.save` writes one") from error
        if classes is not None:
            check_classes(classes, named, source=path)
        memory = cls(named, vectors.shape[2], slots=vectors.shape[1], **settings)
        memory.load_state_dict({"vectors": vectors, "seen": seen})
        return memory


def _over_processes(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The sum over the process group, if there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        values = values.contiguous()
        torch.distributed.all_reduce(values)
    return values


def check_labels(labels: Integer[Tensor, "b h w"], classes: int) -> None:
    """Raise a `MemoryMismatch`, which names the value and how often it occurs, at a label that is no class."""
    wrong = ((labels < 0) | (labels >= classes)) & (labels != IGNORE)
    if wrong.any():
        values, counts = labels[wrong].unique(return_counts=True)
        told = ", ".join(
            f"{value} ({count} pixels)" for value, count in zip(values[:4].tolist(), counts.tolist(), strict=False)
        )
        raise MemoryMismatch(
            f"labels hold {told}{', ...' if len(values) > 4 else ''}, but there are {classes} classes: labels are 0 to "
            f"{classes - 1}, or {IGNORE} for pixels that do not count"
        )


def check_classes(needed: Sequence[str], found: Sequence[str], *, source: str | Path) -> None:
    """Raise a `MemoryMismatch`, which names both lists, unless they are equal."""
    if list(needed) == list(found):
        return
    pairs = enumerate(zip(needed, found, strict=False))
    where = next((index for index, (one, other) in pairs if one != other), min(len(needed), len(found)))
    raise MemoryMismatch(
        f"{source}: is a memory of {_listed(found)}; needed is one of {_listed(needed)}; they part at label "
        f"{where}. Use the memory of the same class list, or train one"
    )


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} classes ({', '.join(names[:12])}{', ...' if len(names) > 12 else ''})"


def polynomial_momentum(progress: float, *, start: float = 0.9, power: float = 0.9) -> float:
    """The paper's momentum after the fraction `progress` of training, whatever the learning rate."""
    least = start / 100
    return (1 - progress) ** power * (start - least) + least


def coupled_momentum(learning_rate: float, base_learning_rate: float, *, start: float = 0.9) -> float:
    """The published program's momentum: it follows the learning rate, warm-up and all.

    Equal to `polynomial_momentum` while the learning rate is polynomial of the same power from `base_learning_rate`
    to a hundredth of it. Some of the program's settings (Cityscapes, COCO-Stuff) have `start=1`.
    """
    return start * learning_rate / base_learning_rate
