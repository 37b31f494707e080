"""A pile of images in, masks of what they share out, at each image's own size, with no mask given at all.

cosaliency = CoSaliency()
group = cosaliency.learn(["1.jpg", "2.jpg", "3.jpg"])     # the first pass
cosaliency.segment("1.jpg", group).mask                   # the second
group.health().outsiders

Of a group only its vectors are kept, a few kilobytes for each image, so a group may be of any size.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.errors import ArgumentError, ExampleError, ImageError
from likewise.io.images import Source, read_image
from likewise.io.paths import ImageFile
from likewise.io.prefetch import prefetch
from likewise.io.resize import resize_image
from likewise.models.icnet import SIZE, STRIDES, ICNet, Vectors
from likewise.ops.features import resize
from likewise.predict.devices import torch_device
from likewise.predict.examples import Example
from likewise.predict.group_health import Health, certainty_of, health_of
from likewise.predict.map_folder import MapFolder
from likewise.predict.ready import made_ready
from likewise.predict.result import Result
from likewise.predict.saliency import Saliency, map_result
from likewise.weights import DEFAULT_GROUP_MODEL, DEFAULT_SALIENCY
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import CO_SALIENCY, open_model

BY_BEST_MASKS = "panet-lite0"
"""What segments by a group's best masks. Not the default of few-shot: that has seen images that tell how well."""
COMMON = ("object",)
"""The one class of a result."""

LEAST_SHARE, MOST_SHARE = 0.02, 0.7
"""A mask that is to be an example covers at least and at most so much of its image."""


@dataclass(frozen=True)
class Group:
    """What the first pass leaves of a group of images.

    Attributes:
        names: of those that could be read; their paths, where no folder is known that they have names in.
        vectors: their single-image vectors.
        certainty: how clearly each one's saliency map shows something, in [0, 1].
        failed: those that could not be read, and why.
        fingerprint: of the model and the maps that made it.
    """

    names: tuple[str, ...]
    vectors: Vectors
    certainty: tuple[float, ...]
    failed: tuple[tuple[str, str], ...]
    fingerprint: str

    def __len__(self) -> int:
        """The number of images that could be read."""
        return len(self.names)

    def health(self) -> Health:
        """Agreement, outsiders, and maps that cannot be relied on."""
        return health_of(self.names, self.vectors, self.certainty)


class CoSaliency:
    """Finds what the images of a group share.

    Args:
        model: "icnet-lite0", bundled, trained by us; a folder of `likewise train`; a file of `likewise weights import`;
            or "icnet-vgg16", the published network, with its authors' checkpoint.
        maps: where the single-image saliency maps come from: a saliency model (`likewise.predict.saliency.Saliency`),
            or a folder of maps with the names of their images.
        weights: the checkpoint of the published network.
        device: "auto" takes the first accelerator there is, else the CPU; or a torch device such as "cuda:1".
        edges: as for `likewise.FewShot`.

    Raises:
        ValueError: an unknown model or device, or one that is no ICNet.
        WeightsError: weights that cannot be had or do not fit.
    """

    def __init__(
        self,
        model: str = DEFAULT_GROUP_MODEL,
        *,
        maps: str | Path = DEFAULT_SALIENCY,
        weights: str | Path | None = None,
        device: str = "auto",
        edges: bool = True,
    ) -> None:
        self.edges = edges
        self.device = torch_device(device)
        opened = open_model(model, CO_SALIENCY, weights=weights)
        self.model_name = opened.name
        self.maps = MapFolder(maps) if Path(maps).is_dir() and not is_run(maps) else Saliency(maps, device=device)
        self.fingerprint = fingerprint(opened.network)
        self.network: ICNet = made_ready(opened.network, self.device, fold=not opened.authors)

    @property
    def settings(self) -> dict[str, Any]:
        """What the results depend on besides the images and a folder of maps, for a run's records."""
        maps = str(self.maps.folder) if isinstance(self.maps, MapFolder) else self.maps.settings
        return {"model": self.model_name, "weights": self.fingerprint, "maps": maps, "edges": self.edges}

    @torch.inference_mode()
    def learn(
        self, images: Sequence[Source | ImageFile], *, progress: Callable[[int, int], None] | None = None
    ) -> Group:
        """The first pass: what every image says about what its group shares.

        Images that cannot be read are named in `Group.failed`, and the others make the group.

        Args:
            progress: called with (settled, in all) images.

        Raises:
            ValueError: no images; or maps of a folder that are missing or of another size than their images.
        """
        if not images:
            raise ArgumentError("no images: a group has at least one")
        if isinstance(self.maps, MapFolder):
            self.maps.check(on_disk(images))
        names: list[str] = []
        certainty: list[float] = []
        failed: list[tuple[str, str]] = []
        # room for all from the start: thousands of small tensors that stay keep the allocator from giving back what
        # lies between them
        room: Vectors = {}
        for index, (image, reading) in enumerate(prefetch(images, read)):
            label = label_of(image, index)
            try:
                pixels = reading.result()
                sism = self.sism(pixels, name_of(image))
            except ImageError as error:
                failed.append((label, str(error)))
            else:
                for stride, own in self.network.encode_group(self.image(pixels), sism[None]).items():
                    room.setdefault(stride, own.new_empty(len(images), *own.shape[1:]))[len(names)] = own[0]
                names.append(label)
                certainty.append(certainty_of(sism))
            if progress:
                progress(index + 1, len(images))
        vectors = {stride: room.get(stride, torch.zeros(0, 2, 0))[: len(names)] for stride in STRIDES}
        return Group(tuple(names), vectors, tuple(certainty), tuple(failed), self.fingerprint)

    @torch.inference_mode()
    def segment(self, image: Source | ImageFile, group: Group, *, name: str | None = None) -> Result:
        """The second pass: what the group shares, in one of its images, or in another one.

        Args:
            name: under which a folder of maps knows the image, if it is no path.

        Raises:
            ImageError: a file that cannot be read, or without a map in the folder of maps.
            ValueError: a group of another model, or one of which nothing could be read.
        """
        if group.fingerprint != self.fingerprint:
            raise ArgumentError("the group was learned with another model: learn it again with this one")
        if not len(group):
            raise ArgumentError("no image of the group could be read, so there is nothing that they share")
        pixels = read(image)
        sism = self.sism(pixels, name if name is not None else name_of(image))
        probability = self.network.segment(self.image(pixels), sism[None], group.vectors)
        plane = resize(probability[None], pixels.shape[:2], align_corners=True)[0, 0]
        return map_result(plane.float().cpu().numpy(), COMMON, pixels, edges=self.edges)

    def cosegment(self, images: Sequence[Source | ImageFile]) -> Iterator[Result]:
        """Both passes: the result of each image in turn.

        Raises:
            ImageError: at an image that cannot be read.
            ValueError: as `learn`.
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
        """The images with the best masks, as examples of a few-shot concept, the best first.

        The best are those that agree with the group and whose masks are clear and neither tiny nor the whole image.

        Raises:
            ValueError: no mask is fit to be an example.
        """
        agreement = group.health().agreement
        best: list[tuple[float, int, Example]] = []
        for index, (image, reading) in enumerate(prefetch(images, read)):
            if image.name in agreement:
                result = self.segment(reading.result(), group, name=image.name)
                if LEAST_SHARE <= result.mask.mean() <= MOST_SHARE:
                    merit = agreement[image.name] * certainty_of(torch.from_numpy(result.probability))
                    entry = merit, -index, Example(image.path, mask=result.mask)
                    (heapq.heappush if len(best) < count else heapq.heappushpop)(best, entry)
            if progress:
                progress(index + 1, len(images))
        if not best:
            raise ExampleError(
                "no mask of the group is fit to be an example: each is tiny, or the whole image; leave out --then, "
                "or show an example with `likewise segment --like`"
            )
        return [example for _, _, example in sorted(best, key=lambda entry: entry[:2], reverse=True)]

    def sism(self, pixels: UInt8[np.ndarray, "h w 3"], name: str) -> Float[Tensor, "s s"]:
        """The image's single-image saliency map as the model takes it."""
        if isinstance(self.maps, MapFolder):
            return self.maps.square(name, SIZE).to(self.device)
        return self.maps.square(pixels, SIZE).to(self.device)

    def image(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 s s"]:
        brought = torch.tensor(resize_image(pixels, SIZE, SIZE), device=self.device)
        return self.network.backbone.normalise(brought[None])


def average_results(group: Result, few_shot: Result) -> Result:
    """The mean of two probabilities: of the group, and of few-shot segmentation by the group's best masks.

    Their errors differ: the group finds parts with sharp outlines, examples find whole objects with soft outlines.
    """
    assert group.image is not None
    probability = (group.probability + few_shot.probability) / 2
    return map_result(probability, COMMON, group.image, edges=False)


def is_run(folder: str | Path) -> bool:
    return (Path(folder) / "weights.safetensors").is_file()


def on_disk(images: Iterable[Source | ImageFile]) -> Iterator[ImageFile]:
    """Those of the images that are files."""
    for image in images:
        if isinstance(image, ImageFile):
            yield image
        elif isinstance(image, str | Path):
            yield ImageFile(Path(image), Path(image).name)


def label_of(image: Source | ImageFile, index: int) -> str:
    """What a group calls an image: its name, its path, or its place, from 1."""
    if isinstance(image, str | Path):
        return str(image)
    return image.name if isinstance(image, ImageFile) else f"image {index + 1}"


def name_of(image: Source | ImageFile) -> str:
    """The name of an image in its folder; "" of one that is in memory."""
    if isinstance(image, ImageFile):
        return image.name
    return Path(image).name if isinstance(image, str | Path) else ""


def read(image: Source | ImageFile) -> UInt8[np.ndarray, "h w 3"]:
    return read_image(image.path if isinstance(image, ImageFile) else image)
