"""Named protocols of few-shot segmentation: which episodes, at which size, counted how.

A protocol draws its episodes purely, from the data set's entries and a seed: no global generator is touched, and
the list is there before any image is read, so it is the same for any number of workers. It gives the side to
which images and label maps are brought (`size`, None for the image's own), and a fresh metric.

What the originals do is stated from the papers and from the conventions their programs' numbers follow. With
entries missing, a protocol runs on those that are present: say how many (`dataset.presence`) beside the number.
"""

import json
import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.errors import DataSetError, check_known
from likewise.io.atomic import write_atomically
from likewise.io.resize import Nearest
from likewise.metrics.few_shot import FoldIoU, LikewiseIoU, PanetIoU
from likewise.metrics.scores import Scores


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
    nearest: Nearest

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]: ...

    def metric(self, classes: Sequence[str]) -> Metric: ...


class PANet2019:
    """`panet-2019`: Wang et al., PANet: Few-Shot Image Semantic Segmentation with Prototype Alignment, ICCV 2019.

    Copies: 5 runs of 1000 episodes with seeds 1234 to 1238; each episode draws its classes, then distinct images
    of each as supports, and one more image of one of the classes as query; 417x417, aspect not kept; per class and
    run true positives, false positives and false negatives summed over episodes, mean over classes, then over runs;
    binary IoU. The rule is theirs, the random stream ours: their program's very episodes are not reproduced.

    Gets wrong: a false positive counts only where its class is in the query as well, so that several-way scores do
    not punish confusing one class for another that is absent; classes are drawn at random, hence unequally often;
    a class that is never drawn makes the mean NaN; an image may be a support of two ways at once; the spread over
    runs tells of the sampling only, since the same few hundred images stand behind every run.
    """

    name = "panet-2019"
    size: int | None = 417
    nearest: Nearest = "centre"

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        """`count` episodes (1000) for each of five seeds from `seed` (1234) on."""
        enough_classes(self.name, dataset, ways)
        for name in dataset.classes:
            enough(dataset, name, shots)
        first = 1234 if seed is None else seed
        return [
            self.draw(dataset, shots, ways, run, generator)
            for run, generator in ((run, random.Random(run)) for run in range(first, first + 5))
            for _ in range(1000 if count is None else count)
        ]

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, seed: int, generator: random.Random) -> Episode:
        classes = tuple(generator.sample(dataset.classes, ways))
        asked = generator.randrange(ways)
        drawn = [generator.sample(dataset.images_of[name], shots + 1) for name in classes]
        query = drawn[asked][shots]
        supports = []
        for images in drawn:
            # the image beyond the shots stands in where another way's support happens to be the query
            supports.append(tuple(image for image in images if image != query)[:shots])
        return Episode(classes, tuple(supports), query, seed)

    def metric(self, classes: Sequence[str]) -> PanetIoU:
        return PanetIoU(classes)


class HSNet2021:
    """`hsnet-2021`: Min et al., Hypercorrelation Squeeze for Few-Shot Segmentation, ICCV 2021.

    Copies: 1000 episodes whose queries go through the entries of the validation list in order, again and again;
    supports drawn each on its own from the entries of the query's class, only the query itself excluded, by numpy's
    legacy generator with seed 0; images and label maps at 400x400, aspect not kept; intersections and unions
    summed per class, mIoU over all test classes, FB-IoU; pixels of 255 in the query left out. On COCO-20i, far longer
    than 1000 entries, the class and then the query are drawn by the same generator instead.

    Gets wrong: with several shots one image may be its own companion; classes count as often as the list has
    them, and 1000 is no multiple of the list, so some queries weigh more; squashing to 400x400 changes shapes and
    the size of every object; the query always shows the class, so a method that finds it everywhere is not caught;
    a class that was never drawn counts 0; no interval.
    """

    name = "hsnet-2021"
    size: int | None = 400
    nearest: Nearest = "floor"

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        one_way(self.name, ways)
        seed, count = 0 if seed is None else seed, 1000 if count is None else count
        generator = np.random.RandomState(seed)
        episodes = []
        for i in range(count):
            if dataset.benchmark == "COCO-20i":
                name = str(generator.choice(dataset.classes))
                enough(dataset, name, 1)
                query = str(generator.choice(dataset.images_of[name]))
            else:
                entry = dataset.entries[i % len(dataset.entries)]
                name, query = entry.class_name, entry.image
            episodes.append(Episode((name,), (redrawn(dataset, name, query, shots, generator),), query, seed))
        return episodes

    def metric(self, classes: Sequence[str]) -> FoldIoU:
        return FoldIoU(self.name, classes)


class FSSHSNet2021:
    """`fss-hsnet-2021`: the FSS-1000 test of HSNet (Min et al., ICCV 2021).

    Copies: every test image (240 classes x 10) is the query once, in order; supports drawn each on its own from the
    other nine by numpy's legacy generator with seed 0; 400x400; mIoU over the classes, FB-IoU. `count` takes the first
    so many.

    Gets wrong: as `hsnet-2021` with several shots one image may be its own companion. As every image shows one
    large object of its class, high numbers come easily.
    """

    name = "fss-hsnet-2021"
    size: int | None = 400
    nearest: Nearest = "floor"

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        one_way(self.name, ways)
        seed = 0 if seed is None else seed
        generator = np.random.RandomState(seed)
        return [
            Episode((e.class_name,), (redrawn(dataset, e.class_name, e.image, shots, generator),), e.image, seed)
            for e in dataset.entries[:count]
        ]

    def metric(self, classes: Sequence[str]) -> FoldIoU:
        return FoldIoU(self.name, classes)


class PFENet2020:
    """`pfenet-2020`: Tian et al., Prior Guided Feature Enrichment Network for Few-Shot Segmentation, TPAMI 2020.

    Copies: 5000 episodes (20000 on COCO-20i), seed 321; queries go through the validation *images* again and
    again, the class drawn among the novel ones of the image; distinct supports; scored at the query's own size,
    intersections and unions per class, mIoU over the classes, FB-IoU, pixels of 255 left out. The rule is theirs, the
    random stream ours.

    Gets wrong: classes count as often as the validation images show them; large images weigh more than small
    ones; the query always shows the class; no interval, although 5000 episodes of a few hundred images look precise.
    """

    name = "pfenet-2020"
    size: int | None = None
    nearest: Nearest = "floor"

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        one_way(self.name, ways)
        seed = 321 if seed is None else seed
        if count is None:
            count = 20000 if dataset.benchmark == "COCO-20i" else 5000
        generator = random.Random(seed)
        episodes = []
        for query, _ in zip(cycle(dataset.classes_of), range(count), strict=False):
            name = generator.choice(dataset.classes_of[query])
            enough(dataset, name, shots)
            drawn = generator.sample(dataset.images_of[name], shots + 1)
            supports = tuple(image for image in drawn if image != query)[:shots]
            episodes.append(Episode((name,), (supports,), query, seed))
        return episodes

    def metric(self, classes: Sequence[str]) -> FoldIoU:
        return FoldIoU(self.name, classes)


class Likewise1:
    """`likewise-1`: ours, for numbers that can be trusted.

    Every class has equally many episodes (`count`, 1000, over the classes, rounded down); a class's queries go through
    its images in random order, all of them before one comes again; supports are distinct and never the query; other
    ways are drawn from the other classes. After every fifth episode of a class one follows whose query has no entry
    of any of its classes: these are counted apart, since only they tell whether a method can say "not here" (whether a
    class is absent is read from the target's pixels). Own size of every image; ignored pixels left out; false
    positives always counted; mIoU with a 95% bootstrap interval over query images. Each class draws from a generator
    of its own, seeded with `seed` (0) and the class's name, and the classes take turns, so that a shorter list is
    the beginning of a longer one.

    What remains: the interval knows of the query images' chance, not of the training's; large images weigh more
    within a class.
    """

    name = "likewise-1"
    size: int | None = None
    nearest: Nearest = "floor"

    def episodes(
        self, dataset: EpisodeSet, shots: int = 1, ways: int = 1, count: int | None = None, seed: int | None = None
    ) -> list[Episode]:
        enough_classes(self.name, dataset, ways)
        seed = 0 if seed is None else seed
        each = max(1, (1000 if count is None else count) // len(dataset.classes))
        turns = [self.of_class(dataset, name, shots, ways, each, seed) for name in dataset.classes]
        return [episode for turn in zip(*turns, strict=True) for episodes in turn for episode in episodes]

    def of_class(
        self, dataset: EpisodeSet, name: str, shots: int, ways: int, each: int, seed: int
    ) -> list[list[Episode]]:
        """The turns of one class: an episode each, and an absent one beside every fifth."""
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        others = [other for other in dataset.classes if other != name]
        images = dataset.images_of[name]
        turns: list[list[Episode]] = []
        queries: list[str] = []
        for i in range(each):
            if not queries:
                queries = [images[j] for j in generator.permutation(len(images))]
            asked = (name, *(others[j] for j in generator.permutation(len(others))[: ways - 1]))
            turn = [self.with_supports(dataset, asked, queries.pop(), shots, seed, generator)]
            elsewhere = [p for p, shown in dataset.classes_of.items() if not set(shown) & set(asked)]
            if i % 5 == 4 and elsewhere:
                query = elsewhere[generator.integers(len(elsewhere))]
                turn.append(self.with_supports(dataset, asked, query, shots, seed, generator))
            turns.append(turn)
        return turns

    def with_supports(
        self,
        dataset: EpisodeSet,
        classes: tuple[str, ...],
        query: str,
        shots: int,
        seed: int,
        generator: np.random.Generator,
    ) -> Episode:
        taken = {query}
        supports = []
        for name in classes:
            free = [image for image in dataset.images_of[name] if image not in taken]
            if len(free) < shots:
                enough(dataset, name, shots)
                raise DataSetError(f"class {name!r} of {dataset.name} has too few images that no other way shows")
            drawn = tuple(free[j] for j in generator.permutation(len(free))[:shots])
            taken.update(drawn)
            supports.append(drawn)
        return Episode(classes, tuple(supports), query, seed)

    def metric(self, classes: Sequence[str]) -> LikewiseIoU:
        return LikewiseIoU(classes)


def redrawn(
    dataset: EpisodeSet, class_name: str, query: str, shots: int, generator: np.random.RandomState
) -> tuple[str, ...]:
    """`shots` images of a class, each drawn from all of them on its own; the query is drawn again."""
    images = dataset.images_of[class_name]
    enough(dataset, class_name, 1)
    supports: list[str] = []
    while len(supports) < shots:
        # a draw of one "without replacement" permutes the list: the legacy stream depends on it
        drawn = str(generator.choice(images, 1, replace=False)[0])
        if drawn != query:
            supports.append(drawn)
    return tuple(supports)


def one_way(name: str, ways: int) -> None:
    if ways != 1:
        raise DataSetError(f"{name} is a 1-way protocol, not {ways}-way: panet-2019 and likewise-1 have several ways")


def enough(dataset: EpisodeSet, class_name: str, supports: int) -> None:
    """Raise unless a class has a query and `supports` other images."""
    images = set(dataset.images_of[class_name])
    if len(images) <= supports:
        raise DataSetError(
            f"class {class_name!r} of {dataset.name} has {len(images)} images, "
            f"an episode needs a query and {supports} others"
        )


def enough_classes(name: str, dataset: EpisodeSet, ways: int) -> None:
    if not 1 <= ways <= len(dataset.classes):
        raise DataSetError(f"{name}: {dataset.name} has {len(dataset.classes)} classes, {ways}-way is not possible")


def write_episodes(path: Path | str, episodes: Iterable[Episode]) -> None:
    """Write an episode list, one JSON object a line with "classes", "supports" (per way), "query" and "seed"."""
    with write_atomically(path) as part:
        part.write_text("".join(json.dumps(asdict(episode)) + "\n" for episode in episodes))


def read_episodes(path: Path | str) -> list[Episode]:
    """The episodes of a file of `write_episodes`; a broken line raises `DataSetError` with its number."""
    episodes = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        try:
            record = json.loads(line)
            classes = tuple(map(str, record["classes"]))
            supports = tuple(tuple(map(str, shots)) for shots in record["supports"])
            episodes.append(Episode(classes, supports, str(record["query"]), int(record["seed"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DataSetError(
                f"{path}, line {number}: an episode has classes, supports, query and seed ({error!r})"
            ) from error
    return episodes


PROTOCOLS: dict[str, Protocol] = {
    p.name: p for p in (PANet2019(), PFENet2020(), HSNet2021(), FSSHSNet2021(), Likewise1())
}


def protocol(name: str) -> Protocol:
    """The protocol of that name; an unknown one raises `DataSetError` with the nearest."""
    check_known(name, PROTOCOLS, "protocol")
    return PROTOCOLS[name]
