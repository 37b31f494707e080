"""Named protocols of few-shot segmentation: which episodes, at which size, counted how.

A protocol draws its episodes purely, from the data set's entries and a seed: no global generator is touched, and
the list is there before any picture is read, so it is the same for any number of workers. It gives the side to
which pictures and label maps are brought (`size`, None for the picture's own), and a fresh metric.

What the originals do is stated from the papers and from the conventions their programs' numbers follow. With
entries missing, a protocol runs on those that are present: say how many (`dataset.presence`) beside the number.
"""

from collections.abc import Sequence
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.data.layout import DataSetError, known
from likewise.metrics import FoldIoU, Scores


@runtime_checkable
class Metric(Interface):
    """What a protocol counts with."""

    def update(self, prediction: np.ndarray, target: np.ndarray, episode: Episode) -> None: ...

    def compute(self) -> Scores: ...


@runtime_checkable
class Protocol(Interface):
    """What every protocol here has."""

    name: str
    size: int | None
    nearest: str

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]: ...

    def metric(self, classes: Sequence[str]) -> Metric: ...


class HSNet2021:
    """`hsnet-2021`: Min et al., Hypercorrelation Squeeze for Few-Shot Segmentation, ICCV 2021.

    Copies: 1000 episodes whose queries go through the entries of the validation list in order, again and again;
    supports drawn each on its own from the entries of the query's class, only the query itself excluded, by numpy's
    legacy generator with seed 0; pictures and label maps at 400x400, aspect not kept; intersections and unions
    summed per class, mIoU over all test classes, FB-IoU; pixels of 255 in the query left out.

    Gets wrong: with several shots one picture may be its own companion; classes count as often as the list has
    them, and 1000 is no multiple of the list, so some queries weigh more; squashing to 400x400 changes shapes and
    the size of every object; the query always shows the class, so a method that finds it everywhere is not caught;
    no interval.
    """

    name = "hsnet-2021"
    size: int | None = 400
    nearest = "floor"

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        one_way(self.name, ways)
        seed = 0 if seed is None else seed
        generator = np.random.RandomState(seed)
        queries = (dataset.entries[i % len(dataset.entries)] for i in range(count or 1000))
        return [
            Episode((e.class_name,), (redrawn(dataset, e.class_name, e.picture, shots, generator),), e.picture, seed)
            for e in queries
        ]

    def metric(self, classes: Sequence[str]) -> FoldIoU:
        return FoldIoU(self.name, classes)


def redrawn(
    dataset: EpisodeSet, class_name: str, query: str, shots: int, generator: np.random.RandomState
) -> tuple[str, ...]:
    """`shots` pictures of a class, each drawn from all of them on its own; the query is drawn again."""
    pictures = dataset.pictures_of[class_name]
    enough(dataset, class_name, 1)
    supports: list[str] = []
    while len(supports) < shots:
        # a draw of one "without replacement" permutes the list: the legacy stream depends on it
        drawn = str(generator.choice(pictures, 1, replace=False)[0])
        if drawn != query:
            supports.append(drawn)
    return tuple(supports)


def one_way(name: str, ways: int) -> None:
    if ways != 1:
        raise DataSetError(f"{name} is a 1-way protocol, not {ways}-way: panet-2019 and likewise-1 have several ways")


def enough(dataset: EpisodeSet, class_name: str, supports: int) -> None:
    """Raise unless a class has a query and `supports` other pictures."""
    pictures = set(dataset.pictures_of[class_name])
    if len(pictures) <= supports:
        raise DataSetError(
            f"class {class_name!r} of {dataset.name} has {len(pictures)} pictures, "
            f"an episode needs a query and {supports} others"
        )


PROTOCOLS: dict[str, Protocol] = {p.name: p for p in (HSNet2021(),)}


def protocol(name: str) -> Protocol:
    """The protocol of that name; an unknown one raises `DataSetError` with the nearest."""
    known(name, PROTOCOLS, "protocol")
    return PROTOCOLS[name]
