"""Co-saliency: a group of images in, masks of the object that they share out. No mask is given.

cosaliency = CoSaliency()
group = cosaliency.learn(["1.jpg", "2.jpg", "3.jpg"])     # first pass
cosaliency.segment("1.jpg", group).mask                   # second pass
group.health().outsiders

A group keeps only vectors, a few kilobytes per image, so it may have any size.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.engine.protocol import GroupNetwork, Vectors
from likewise.errors import ArgumentError, ExampleError, ImageError, counted
from likewise.io.images import ScaledImage, Source, read_scaled
from likewise.io.paths import ImageFile
from likewise.io.prefetch import prefetch
from likewise.io.resize import resize_image
from likewise.ops.bilinear import resize_bilinear
from likewise.predict.edges import LARGEST
from likewise.predict.engines import open_groups
from likewise.predict.equality import EqualByValue
from likewise.predict.examples import Example
from likewise.predict.group_health import Health, assess_group, map_certainty
from likewise.predict.map_folder import MapFolder
from likewise.predict.result import Result, map_result
from likewise.predict.saliency import Saliency
from likewise.weights import DEFAULT_GROUP_MODEL, DEFAULT_SALIENCY
from likewise.weights.exported import CARD

BEST_MASK_MODEL = "panet-lite0"
"""Few-shot model that segments by a group's best masks (experiments/09-groups-held-out)."""
COMMON = ("object",)
"""The class names of a result."""

MIN_EXAMPLE_AREA, MAX_EXAMPLE_AREA = 0.02, 0.7
"""Fractions of the image that the mask of an example covers at least and at most; set without a measurement."""


@dataclass(frozen=True, eq=False, repr=False)
class Group(EqualByValue):
    """What the first pass computes from a group of images.

    Attributes:
        names: of the readable images: names within their folder, or paths.
        vectors: the single-image vectors of the readable images.
        certainty: of each saliency map, in [0, 1] (`likewise.predict.group_health.map_certainty`).
        failed: name and reason for each image that cannot be read.
        fingerprint: of the model's weights.
    """

    names: tuple[str, ...]
    vectors: Vectors
    certainty: tuple[float, ...]
    failed: tuple[tuple[str, str], ...]
    fingerprint: str

    def __repr__(self) -> str:
        return f"<group of {counted(len(self), 'image')}{f', {len(self.failed)} unreadable' if self.failed else ''}>"

    def __len__(self) -> int:
        """The number of readable images."""
        return len(self.names)

    def health(self) -> Health:
        """Agreement within the group, outsiders and unreliable saliency maps."""
        return assess_group(self.names, self.vectors, self.certainty)


class CoSaliency:
    """Segments the object that the images of a group share.

    Args:
        model: "icnet-lite0", bundled; a folder of `likewise train` or `likewise export`; a file of `likewise weights
            import`; or "icnet-vgg16", the published network, with its authors' checkpoint.
        maps: the source of the single-image saliency maps: a model (`likewise.predict.saliency.Saliency`), or a folder
            of maps named as their images.
        weights: the checkpoint of the published network.
        engine: see `likewise.FewShot`.
        device: see `likewise.FewShot`.
        edges: see `likewise.FewShot`.

    Raises:
        ModelError: an unknown model or device, or a model of another method.
        WeightsError: weights that cannot be found or do not fit.
    """

    def __init__(
        self,
        model: str = DEFAULT_GROUP_MODEL,
        *,
        maps: str | Path = DEFAULT_SALIENCY,
        weights: str | Path | None = None,
        engine: str = "auto",
        device: str = "auto",
        edges: bool = True,
    ) -> None:
        self.edges = edges
        self.network: GroupNetwork
        self.network, self.device = open_groups(model, weights=weights, engine=engine, device=device)
        self.engine, self.model_name, self.fingerprint = (
            self.network.engine,
            self.network.name,
            self.network.fingerprint,
        )
        in_folder = Path(maps).is_dir() and not is_model(maps)
        self.maps = MapFolder(maps) if in_folder else Saliency(maps, engine=engine, device=device)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the results, for the records of a run."""
        maps = str(self.maps.folder) if isinstance(self.maps, MapFolder) else self.maps.settings
        return {"model": self.model_name, "weights": self.fingerprint, "maps": maps, "edges": self.edges}

    def learn(
        self, images: Sequence[Source | ImageFile], *, progress: Callable[[int, int], None] | None = None
    ) -> Group:
        """Encode a group of images: the first pass. Images that cannot be read are listed in `Group.failed`.

        Args:
            progress: called with (images done, all images).

        Raises:
            ArgumentError: no images.
            ImageError: maps of a folder that are missing or of another size than their images.
        """
        if not images:
            raise ArgumentError("no images: a group has at least one image")
        if isinstance(self.maps, MapFolder):
            self.maps.check(image_files(images))
        names: list[str] = []
        certainty: list[float] = []
        failed: list[tuple[str, str]] = []
        # one allocation for all vectors: thousands of small arrays fragment the memory
        room: Vectors = {}
        for index, (image, reading) in enumerate(prefetch(images, partial(read_scaled, short=LARGEST))):
            label = image_label(image, index)
            try:
                scaled = reading.result()
                sism = self.sism(scaled)
            except ImageError as error:
                failed.append((label, str(error)))
            else:
                for stride, own in self.network.encode(self.network_input(scaled.pixels), sism).items():
                    room.setdefault(stride, np.empty((len(images), *own.shape[1:]), own.dtype))[len(names)] = own[0]
                names.append(label)
                certainty.append(map_certainty(sism))
            if progress:
                progress(index + 1, len(images))
        vectors = {stride: own[: len(names)] for stride, own in room.items()}
        return Group(tuple(names), vectors, tuple(certainty), tuple(failed), self.fingerprint)

    def segment(self, image: Source | ScaledImage | ImageFile, group: Group) -> Result:
        """Segment the shared object in one image, of the group or another: the second pass.

        Raises:
            ImageError: a file that cannot be read, or that has no map in the folder of maps.
            ArgumentError: a group of another model, or a group without a readable image.
        """
        if group.fingerprint != self.fingerprint:
            raise ArgumentError("the group was learned with another model; learn it again with this one")
        if not len(group):
            raise ArgumentError("the group has no readable image")
        scaled = read_scaled(image, LARGEST)
        pixels, sism = scaled.pixels, self.sism(scaled)
        probability = self.network.segment(self.network_input(pixels), sism, group.vectors)
        plane = resize_bilinear(probability, (pixels.shape[0], pixels.shape[1]), align_corners=True)
        return map_result(plane, COMMON, scaled, edges=self.edges)

    def cosegment(self, images: Sequence[Source | ImageFile]) -> Iterator[Result]:
        """Run both passes and return the result of each image in order.

        Raises:
            ImageError: an image that cannot be read, at its turn; see `learn` too.
            ArgumentError: no images.
        """
        group = self.learn(images)
        return (self.segment(image, group) for image in images)

    def examples(
        self,
        images: Sequence[ImageFile],
        group: Group,
        *,
        count: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Example]:
        """The images with the best masks, as examples for `likewise.FewShot`, the best first.

        A mask is good if its image agrees with the group and its probabilities are near 0 and 1. Masks that cover
        under 2% or over 70% of the image are left out.

        Raises:
            ExampleError: no mask is left.
        """
        agreement = group.health().agreement
        best: list[tuple[float, int, Example]] = []
        for index, (image, reading) in enumerate(prefetch(images, partial(read_scaled, short=LARGEST))):
            if image.name in agreement:
                result = self.segment(reading.result(), group)
                if MIN_EXAMPLE_AREA <= result.mask.mean() <= MAX_EXAMPLE_AREA:
                    merit = agreement[image.name] * map_certainty(result.probability)
                    entry = merit, -index, Example(image.path, mask=result.mask)
                    (heapq.heappush if len(best) < count else heapq.heappushpop)(best, entry)
            if progress:
                progress(index + 1, len(images))
        if not best:
            raise ExampleError(
                "no mask of the group can be an example: each covers too little or too much of its image; leave out "
                "--then, or give an example with `likewise segment --like`"
            )
        return [example for _, _, example in sorted(best, key=lambda entry: entry[:2], reverse=True)]

    def sism(self, image: ScaledImage) -> Float32[np.ndarray, "s s"]:
        """The image's single-image saliency map at the size of the network's input."""
        maps, side = self.maps, self.network.side
        return maps.map_at(image.name, side) if isinstance(maps, MapFolder) else maps.map_at(image.pixels, side)

    def network_input(self, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        """The image at the size of the network's input."""
        return resize_image(pixels, self.network.side, self.network.side)


def average_results(group: Result, few_shot: Result) -> Result:
    """The mean of two probabilities: of the group, and of few-shot segmentation by the group's best masks.

    Their errors differ: the group finds parts with sharp outlines, examples find whole objects with soft outlines.
    """
    assert group.scaled is not None
    return map_result((group.plane + few_shot.plane) / 2, COMMON, group.scaled, edges=False)


def is_model(folder: str | Path) -> bool:
    """Whether the folder is a run of `likewise train`, or an exported model."""
    return any((Path(folder) / name).is_file() for name in ("weights.safetensors", CARD))


def image_files(images: Iterable[Source | ImageFile]) -> Iterator[ImageFile]:
    """The images that are files."""
    for image in images:
        if isinstance(image, ImageFile):
            yield image
        elif isinstance(image, str | Path):
            yield ImageFile(Path(image), Path(image).name)


def image_label(image: Source | ImageFile, index: int) -> str:
    """An image's label in a group: its name, its path, or "image 1" for the first image in memory."""
    if isinstance(image, str | Path):
        return str(image)
    return image.name if isinstance(image, ImageFile) else f"image {index + 1}"
