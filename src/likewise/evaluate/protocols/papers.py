"""The protocols of the papers, each with what it reproduces and its known flaws."""

import random
from collections.abc import Sequence
from itertools import cycle

import numpy as np

from likewise.data.episodes import Episode, EpisodeSet
from likewise.evaluate.protocols.protocol import Protocol, require_images
from likewise.metrics.few_shot import PanetIoU


class PANet2019(Protocol):
    """`panet-2019`: Wang et al., PANet: Few-Shot Image Semantic Segmentation with Prototype Alignment, ICCV 2019.

    Reproduces: 5 runs of 1000 episodes with seeds 1234 to 1238; each episode draws its classes, distinct images of each
    as supports, and another image of one of the classes as query; stretched to 417x417; true positives, false
    positives and false negatives summed per class and run, mean over the classes, then over the runs; binary IoU. The
    rule is theirs, the random stream ours, so the episodes differ from theirs.

    Known flaws: a false positive counts only if its class is in the query, so several-way scores do not penalise
    confusing a class with an absent one; random classes occur unequally often; a class that is never drawn makes the
    mean NaN; an image may be a support of two ways; the spread over runs shows the sampling only, since every run uses
    the same few hundred images.
    """

    name = "panet-2019"
    size = 417
    nearest = "centre"
    seed = 1234
    several_ways = True

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        """Return `count` episodes for each of five consecutive seeds from `seed`."""
        for name in dataset.classes:
            require_images(dataset, name, shots)
        return [
            self._draw_episode(dataset, shots, ways, run, generator)
            for run, generator in ((run, random.Random(run)) for run in range(seed, seed + 5))
            for _ in range(count)
        ]

    def _draw_episode(self, dataset: EpisodeSet, shots: int, ways: int, seed: int, generator: random.Random) -> Episode:
        classes = tuple(generator.sample(dataset.classes, ways))
        query_way = generator.randrange(ways)
        drawn = [generator.sample(dataset.images_of[name], shots + 1) for name in classes]
        query = drawn[query_way][shots]
        # the image beyond the shots replaces a support of another way that is the query
        supports = tuple(tuple(image for image in images if image != query)[:shots] for images in drawn)
        return Episode(classes, supports, query, seed)

    def metric(self, classes: Sequence[str]) -> PanetIoU:
        return PanetIoU(classes)


class HSNet2021(Protocol):
    """`hsnet-2021`: Min et al., Hypercorrelation Squeeze for Few-Shot Segmentation, ICCV 2021.

    Reproduces: 1000 episodes whose queries are the entries of the validation list in order, repeated; each support
    drawn independently from the entries of the query's class, without the query, by numpy's legacy generator, seed 0;
    images and label maps stretched to 400x400; intersections and unions summed per class, mIoU over all test
    classes, FB-IoU; query pixels of 255 left out. On COCO-20i, whose list is far longer than 1000 entries, the same
    generator draws the class and then the query.

    Known flaws: with several shots an image may occur twice among the supports; classes count as often as the list
    has them, and since 1000 is not a multiple of its length, some queries weigh more; resizing to 400x400 changes
    shapes and object sizes; the query always shows the class, so a method that finds it everywhere is not penalised; a
    class that is never drawn counts 0; no interval.
    """

    name = "hsnet-2021"
    size = 400

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        generator = np.random.RandomState(seed)
        episodes = []
        for i in range(count):
            if dataset.benchmark == "COCO-20i":
                name = str(generator.choice(dataset.classes))
                require_images(dataset, name, 1)
                query = str(generator.choice(dataset.images_of[name]))
            else:
                entry = dataset.entries[i % len(dataset.entries)]
                name, query = entry.class_name, entry.image
            supports = draw_with_repeats(dataset, name, query, shots, generator)
            episodes.append(Episode((name,), (supports,), query, seed))
        return episodes


class FSSHSNet2021(Protocol):
    """`fss-hsnet-2021`: the FSS-1000 test of HSNet (Min et al., ICCV 2021).

    Reproduces: every test image (240 classes x 10) is the query once, in order; each support drawn independently from
    the other nine by numpy's legacy generator with seed 0; 400x400; mIoU over the classes, FB-IoU. `count` takes the
    first queries of that list.

    Known flaws: with several shots an image may occur twice among the supports; every image shows one large object of
    its class, so scores are high for any method.
    """

    name = "fss-hsnet-2021"
    size = 400

    def default_count(self, dataset: EpisodeSet) -> int:
        return len(dataset.entries)

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        generator = np.random.RandomState(seed)
        return [
            Episode(
                (entry.class_name,),
                (draw_with_repeats(dataset, entry.class_name, entry.image, shots, generator),),
                entry.image,
                seed,
            )
            for entry in dataset.entries[:count]
        ]


class PFENet2020(Protocol):
    """`pfenet-2020`: Tian et al., Prior Guided Feature Enrichment Network for Few-Shot Segmentation, TPAMI 2020.

    Reproduces: 5000 episodes (20000 on COCO-20i) with seed 321; queries are the validation *images* in order, repeated,
    with a class drawn from the novel classes of the image; distinct supports; scored at the query's own size,
    intersections and unions per class, mIoU over the classes, FB-IoU, pixels of 255 left out. The rule is theirs, the
    random stream ours.

    Known flaws: classes count as often as the validation images show them; large images weigh more; the query always
    shows the class; no interval, although 5000 episodes of a few hundred images look precise.
    """

    name = "pfenet-2020"
    seed = 321

    def default_count(self, dataset: EpisodeSet) -> int:
        return 20000 if dataset.benchmark == "COCO-20i" else 5000

    def draw(self, dataset: EpisodeSet, shots: int, ways: int, count: int, seed: int) -> list[Episode]:
        generator = random.Random(seed)
        episodes = []
        for query, _ in zip(cycle(dataset.classes_of), range(count), strict=False):
            name = generator.choice(dataset.classes_of[query])
            require_images(dataset, name, shots)
            drawn = generator.sample(dataset.images_of[name], shots + 1)
            supports = tuple(image for image in drawn if image != query)[:shots]
            episodes.append(Episode((name,), (supports,), query, seed))
        return episodes


def draw_with_repeats(
    dataset: EpisodeSet, class_name: str, query: str, shots: int, generator: np.random.RandomState
) -> tuple[str, ...]:
    """Return `shots` images of a class other than the query, each drawn independently."""
    images = dataset.images_of[class_name]
    require_images(dataset, class_name, 1)
    supports: list[str] = []
    while len(supports) < shots:
        # choice without replacement permutes the list, and the legacy random stream depends on that
        drawn = str(generator.choice(images, 1, replace=False)[0])
        if drawn != query:
            supports.append(drawn)
    return tuple(supports)
