"""Training data of ICNet: groups of images of one class, with saliency maps and masks."""

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from likewise.data.augmentation import random_crop
from likewise.data.episodes import EpisodeSet
from likewise.data.groups import cosaliency_groups
from likewise.errors import DataSetError, counted
from likewise.io.images import read_image
from likewise.io.resize import resize_grey, resize_image, resize_labels
from likewise.train.recipes.data_sections import GroupData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.sources import TrainingSources
from likewise.train.samples.training_data import TRAINING, TrainingData, draw_readable
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import OpenModel, open_model
from likewise.weights.names import SALIENCY


class Batch(NamedTuple):
    """`b` groups of `n` images. Maps are in 0-255, masks 0 or 1."""

    images: UInt8[Tensor, "b n h w 3"]
    maps: UInt8[Tensor, "b n h w"]
    masks: UInt8[Tensor, "b n h w"]


class GroupImage(NamedTuple):
    """An image of a group, its saliency map in 0-255 and its mask, 0 or 1."""

    image: UInt8[np.ndarray, "s s 3"]
    sism: UInt8[np.ndarray, "s s"]
    mask: UInt8[np.ndarray, "s s"]


Maps = Callable[[str, str], UInt8[np.ndarray, "h w"]]
"""Returns the saliency map of an image, given its name and the class it was drawn for."""


class TrainingGroups(TrainingData):
    """Groups of random crops: a set by its weight, one of its classes, `data.images` of its images. No validation.

    Maps come from the saliency models that the recipe names, or from the set's `sism/`.
    """

    def __init__(self, recipe: Recipe, size: int) -> None:
        assert isinstance(recipe.data, GroupData)
        self.data, self.seed, self.size = recipe.data, recipe.seed, size
        self.sources = TrainingSources.open(recipe.data)
        self.classes = self.sources.classes
        datasets = [dataset for _, dataset in self.sources.sets]
        for dataset in datasets:
            if max(map(len, dataset.images_of.values())) < self.data.images:
                raise DataSetError(
                    f"no class of {dataset.name} has {counted(self.data.images, 'image')}: lower data.images"
                )
        self.maps: list[Maps]
        if self.data.maps is None:
            self.maps, self.maps_from = [stored_maps(self.data)], "sism/"
        else:
            names = (self.data.maps,) if isinstance(self.data.maps, str) else self.data.maps
            models = [open_model(name, SALIENCY) for name in names]
            self.maps = [ComputedMaps(models, dataset, size) for dataset in datasets]
            self.maps_from = ", ".join(fingerprint(model.network) for model in models)

    def item(self, step: int, place: int) -> Batch:
        return draw_readable(partial(self._draw, step, place), self.data.on_corrupt, step, self.sources.name)

    def _draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, *([attempt] if attempt else [])))
        dataset, name = self.sources.draw_class(generator, min_images=self.data.images)
        drawn = generator.permutation(len(dataset.images_of[name]))[: self.data.images]
        group = []
        for image in (dataset.images_of[name][index] for index in drawn):
            member = self.read(dataset, image, name, generator)
            if generator.random() < self.data.paste:
                pasted = name if generator.random() < 0.5 else other_class(dataset, name, generator)
                other = self.read(dataset, str(generator.choice(dataset.images_of[pasted])), pasted, generator)
                member = paste_object(member, other, generator, common=pasted == name)
            if generator.random() < self.data.disturb:
                member = member._replace(sism=degrade_map(member.sism, generator))
            group.append(member)
        return Batch(*(torch.from_numpy(np.stack(planes))[None] for planes in zip(*group, strict=True)))

    def read(self, dataset: EpisodeSet, image: str, name: str, generator: np.random.Generator) -> GroupImage:
        """Return the same random crop of an image, its map and its mask of the class `name`."""
        maps = self.maps[[other for _, other in self.sources.sets].index(dataset)]
        crop = random_crop(self.data.crop, self.data.mirror, generator)
        mask = (dataset.read_class(image, name) == 1).astype(np.uint8)
        sism = crop.apply(maps(image, name), self.size)
        pixels = crop.apply(read_image(dataset.image_path(image)), self.size)
        return GroupImage(pixels, sism, crop.apply(mask, self.size, labels=True))

    def record(self) -> dict[str, Any]:
        return {**self.sources.record(), "saliency maps": self.maps_from}


def stored_maps(data: GroupData) -> Maps:
    """Return the maps in the `sism/` of a single co-saliency set."""
    groups = cosaliency_groups(data.root) if data.set == "cosaliency" else None
    if groups is None or not groups.sism_files:
        raise DataSetError(
            f"{data.root} has no saliency maps in sism/<group>/: set data.maps to a saliency model, such as "
            "saliency-lite0"
        )
    return partial(_read_map, groups.read_sism)


def _read_map(read: Callable[[str, str], np.ndarray], image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    group, name = image.split("/", 1)
    return np.rint(read(group, name) * 255).astype(np.uint8)


class ComputedMaps:
    """Saliency maps of a set's images, computed at first use and kept in memory.

    With several models, a model that was not trained on the class computes the map if there is one. Maps of training
    images are better than maps of new images, and a network trained with them learns to copy its input map.
    """

    def __init__(self, models: list[OpenModel], dataset: EpisodeSet, size: int) -> None:
        self.models, self.dataset, self.size = models, dataset, size
        self.computed: dict[tuple[int, str], UInt8[np.ndarray, "s s"]] = {}

    def model_for(self, image: str, class_name: str) -> int:
        """Return the index of the model that computes the map; a hash of the image name breaks ties."""
        indices = range(len(self.models))
        eligible = [index for index in indices if class_name not in self.models[index].trained_classes] or list(indices)
        return eligible[zlib.crc32(image.encode()) % len(eligible)]

    @torch.inference_mode()
    def __call__(self, image: str, class_name: str) -> UInt8[np.ndarray, "s s"]:
        key = self.model_for(image, class_name), image
        if key not in self.computed:
            network = self.models[key[0]].network
            pixels = read_image(self.dataset.image_path(image))
            resized = torch.tensor(resize_image(pixels, self.size, self.size))[None]
            probability = network(network.backbone.normalise(resized))[0]
            self.computed[key] = (probability * 255).round().to(torch.uint8).numpy()
        return self.computed[key]


def other_class(dataset: EpisodeSet, name: str, generator: np.random.Generator) -> str:
    """Return another class of the set; `name` if there is none."""
    others = [other for other, images in dataset.images_of.items() if images and other != name]
    return str(generator.choice(others or [name]))


def paste_object(target: GroupImage, source: GroupImage, generator: np.random.Generator, *, common: bool) -> GroupImage:
    """Return `target` with the object of `source` pasted at a random place; its longer side is 20-60% of the image's.

    The saliency map contains both objects. The mask contains the pasted object only if it is `common` to the group;
    otherwise it is a salient distractor. `target` is returned unchanged if more than half of its object would be
    hidden, or if `source` has no object.
    """
    rows, columns = np.flatnonzero(source.mask.any(axis=1)), np.flatnonzero(source.mask.any(axis=0))
    if not len(rows):
        return target
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    sides = np.array([rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]])
    side = len(target.mask)
    height, width = np.maximum(1, sides * (generator.uniform(0.2, 0.6) * side / sides.max())).astype(int).tolist()
    top, left = generator.integers(0, (side - height + 1, side - width + 1))
    place = slice(top, top + height), slice(left, left + width)
    shape = resize_labels(np.ascontiguousarray(source.mask[box]), height, width) == 1
    image, sism, mask = (plane.copy() for plane in target)
    mask[place][shape] = common
    if 2 * (mask & target.mask).sum() < target.mask.sum():
        return target
    image[place][shape] = resize_image(np.ascontiguousarray(source.image[box]), height, width)[shape]
    sism[place][shape] = resize_grey(np.ascontiguousarray(source.sism[box]), height, width)[shape]
    return GroupImage(image, sism, mask)


def degrade_map(sism: UInt8[np.ndarray, "h w"], generator: np.random.Generator) -> UInt8[np.ndarray, "h w"]:
    """Return the map with a random gamma, at a coarse resolution, with an added blob, or replaced by a blob.

    Maps of training images are better than maps of new images; degraded maps keep the network from copying them.
    """
    height, width = sism.shape
    kind = generator.integers(4)
    if kind == 0:
        return np.rint(255 * (sism / 255) ** np.exp(generator.uniform(-1.2, 1.2))).astype(np.uint8)
    if kind == 1:
        coarse = int(generator.integers(5, 15))
        return resize_grey(np.ascontiguousarray(resize_grey(sism, coarse, coarse)), height, width).copy()
    rows, columns = np.mgrid[:height, :width]
    centre, spread = generator.uniform(0.2, 0.8, size=2), generator.uniform(0.08, 0.3, size=2)
    blob = np.exp(
        -0.5 * (((rows / height - centre[0]) / spread[0]) ** 2 + ((columns / width - centre[1]) / spread[1]) ** 2)
    )
    blob = np.rint(blob * generator.uniform(80, 255)).astype(np.uint8)
    return np.maximum(sism, blob) if kind == 2 else blob
