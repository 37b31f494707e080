"""What every protocol provides: its episodes and its metric."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.errors import ArgumentError, DataSetError, counted
from likewise.io.resize import Nearest
from likewise.metrics.few_shot import EpisodeIoU, FoldIoU


class Protocol(ABC):
    """Draws episodes from a data set and counts their predictions.

    Attributes:
        size: side in pixels to which images and label maps are stretched; None for their own size.
        nearest: how label maps are resized (`likewise.io.resize.resize_labels`).
        seed: of the random generator, unless another seed is given.
        several_ways: whether an episode may have more than one class.
    """

    name: str
    size: int | None = None
    nearest: Nearest = "floor"
    seed: int = 0
    several_ways: bool = False

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        """Return the episodes; `count` and `seed` None take the values of the protocol."""
        if ways != 1 and not self.several_ways:
            raise ArgumentError(f"{self.name} is a 1-way protocol, not {ways}-way; use panet-2019 or likewise-1")
        if not 1 <= ways <= len(dataset.classes):
            raise ArgumentError(
                f"{self.name}: {ways}-way needs {ways} classes, and {dataset.name} has {len(dataset.classes)}"
            )
        count = self.default_count(dataset) if count is None else count
        return self.draw(dataset, shots, ways, count, self.seed if seed is None else seed)

    def default_count(self, dataset: EpisodeSet) -> int:
        """Return the number of episodes (per run, if the protocol has several) unless another number is given."""
        return 1000

    @abstractmethod
    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        """Return `count` episodes (per run, if the protocol has several)."""

    def metric(self, classes: Sequence[str]) -> EpisodeIoU:
        """Return a new metric for these test classes."""
        return FoldIoU(self.name, classes)


def require_images(dataset: EpisodeSet, class_name: str, supports: int) -> None:
    """Raise `DataSetError` unless a class has a query and `supports` other images."""
    images = set(dataset.images_of[class_name])
    if len(images) <= supports:
        raise DataSetError(
            f"class {class_name!r} of {dataset.name} has {counted(len(images), 'image')}; an episode needs a query and "
            f"{supports} others"
        )


def with_supports(
    dataset: EpisodeSet,
    classes: tuple[str, ...],
    query: str,
    shots: int,
    seed: int,
    generator: np.random.Generator,
) -> Episode:
    """Return an episode whose supports are distinct images, none of them the query."""
    taken = {query}
    supports = []
    for name in classes:
        free = [image for image in dataset.images_of[name] if image not in taken]
        if len(free) < shots:
            require_images(dataset, name, shots)
            raise DataSetError(f"class {name!r} of {dataset.name} has too few images that no other way shows")
        drawn = tuple(free[j] for j in generator.permutation(len(free))[:shots])
        taken.update(drawn)
        supports.append(drawn)
    return Episode(classes, tuple(supports), query, seed)
