"""Groups to train on: images that show one class, with their single-image saliency maps and masks."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from likewise.data.episodes import EpisodeSet
from likewise.data.groups import cosaliency_groups
from likewise.errors import DataSetError, TrainingError
from likewise.io.images import read_image
from likewise.io.resize import resize_grey, resize_image, resize_labels
from likewise.models.saliency import SaliencyNet
from likewise.train.recipes.data_sections import GroupData
from likewise.train.recipes.schema import Recipe
from likewise.train.samples.cropping import random_crop
from likewise.train.samples.sources import draw_class, open_training_sources, set_names, sources_record
from likewise.train.samples.training_data import TRAINING, TrainingData, draw_readable
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import load_trained


class Batch(NamedTuple):
    """`b` groups of `n` images. Maps are 0-255, masks 0 and 1."""

    images: UInt8[Tensor, "b n h w 3"]
    maps: UInt8[Tensor, "b n h w"]
    masks: UInt8[Tensor, "b n h w"]


class GroupImage(NamedTuple):
    """One image of a group, with its map, 0-255, and its mask, 0 and 1."""

    image: UInt8[np.ndarray, "s s 3"]
    sism: UInt8[np.ndarray, "s s"]
    mask: UInt8[np.ndarray, "s s"]


Maps = Callable[[str, str], UInt8[np.ndarray, "h w"]]
"""From an image and the class for which it was drawn to its saliency map."""


class TrainingGroups(TrainingData):
    """Groups of the recipe's sets: a set by weight, one of its classes, some images of it, a part of each.

    Maps are made by the models that the recipe names, at the size of the training images, or read from the set's
    `sism/`. Nothing is validated.

    Args:
        size: to which images are brought.

    Raises:
        DataSetError: a data set is not there, or has neither maps nor a model to make them.
    """

    selection = None

    def __init__(self, recipe: Recipe, size: int) -> None:
        assert isinstance(recipe.data, GroupData)
        self.data, self.seed, self.size = recipe.data, recipe.seed, size
        self.sources, self.held = open_training_sources(recipe.data)
        self.classes = tuple(name for _, dataset in self.sources for name in dataset.classes)
        for _, dataset in self.sources:
            if max(map(len, dataset.images_of.values())) < self.data.images:
                raise DataSetError(f"no class of {dataset.name} has {self.data.images} images: lower data.images")
        names = (self.data.maps,) if isinstance(self.data.maps, str) else self.data.maps
        self.maps: list[Maps]
        if names is None:
            self.maps, self.made_by = [stored_maps(self.data)], "sism/"
        else:
            models = [open_saliency_model(name) for name in names]
            self.maps = [ComputedMaps(models, dataset, size) for _, dataset in self.sources]
            self.made_by = ", ".join(fingerprint(network) for network, _ in models)

    def item(self, step: int, place: int) -> Batch:
        """See `LabelledData.on_corrupt` for images that cannot be read."""
        draw = partial(self.draw, step, place)
        return draw_readable(draw, self.data.on_corrupt, step, set_names(self.sources))

    def draw(self, step: int, place: int, attempt: int) -> Batch:
        generator = np.random.default_rng((TRAINING, self.seed, step, place, *([attempt] if attempt else [])))
        dataset, name = draw_class(self.sources, generator, least=self.data.images)
        drawn = generator.permutation(len(dataset.images_of[name]))[: self.data.images]
        members = []
        for image in (dataset.images_of[name][index] for index in drawn):
            member = self.member(dataset, image, name, generator)
            if generator.random() < self.data.paste:
                laid = name if generator.random() < 0.5 else other_class(dataset, name, generator)
                other = self.member(dataset, str(generator.choice(dataset.images_of[laid])), laid, generator)
                member = paste_object(member, other, generator, common=laid == name)
            if generator.random() < self.data.disturb:
                member = member._replace(sism=degrade_map(member.sism, generator))
            members.append(member)
        return Batch(*(torch.from_numpy(np.stack(planes))[None] for planes in zip(*members, strict=True)))

    def member(self, dataset: EpisodeSet, image: str, name: str, generator: np.random.Generator) -> GroupImage:
        """A random part of an image, of its map and of its mask for that class."""
        maps = self.maps[[other for _, other in self.sources].index(dataset)]
        part = random_crop(self.data.crop, self.data.mirror, generator)
        mask = (dataset.read_class(image, name) == 1).astype(np.uint8)
        sism = part.of(maps(image, name), self.size)
        pixels = part.of(read_image(dataset.image_path(image)), self.size)
        return GroupImage(pixels, sism, part.of(mask, self.size, labels=True))

    def score(self, model: Any, move: Callable[[Any], Any]) -> float:
        raise NotImplementedError("nothing is validated")

    def described(self) -> str:
        raise NotImplementedError("nothing is validated")

    def record(self) -> dict[str, Any]:
        return {**sources_record(self.sources, self.held), "saliency maps": self.made_by}


def open_saliency_model(model: str) -> tuple[SaliencyNet, tuple[str, ...]]:
    """The saliency model of that name, bundled, or of that run, and the classes that it was trained on.

    Raises:
        TrainingError: a run of another kind.
    """
    network, classes = load_trained(model)
    if not isinstance(network, SaliencyNet):
        raise TrainingError(f"{model} holds {type(network).__name__}, no saliency network: name a run of saliency")
    return network, classes


def stored_maps(data: GroupData) -> Maps:
    """The maps in the `sism/` of the recipe's one co-saliency set."""
    groups = cosaliency_groups(data.root) if data.set == "cosaliency" else None
    if groups is None or not groups.sism_files:
        raise DataSetError(
            f"{data.root} has no sism/<group>/ with single-image saliency maps: set data.maps to a saliency model, "
            "such as saliency-lite0"
        )
    return partial(stored_map, groups.read_sism)


def stored_map(read: Callable[[str, str], np.ndarray], image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    group, name = image.split("/", 1)
    return np.rint(read(group, name) * 255).astype(np.uint8)


class ComputedMaps:
    """Saliency models' maps of the images of a set, each made when it is first drawn and then kept.

    Of several models one makes the map that was not trained on the class for which the image is drawn, if there is
    such a one: a model's maps of what it was trained on are better than any that it makes in use, and who learns from
    them learns to copy them.
    """

    def __init__(self, models: list[tuple[SaliencyNet, tuple[str, ...]]], dataset: EpisodeSet, size: int) -> None:
        self.models, self.dataset, self.size = models, dataset, size
        self.made: dict[tuple[int, str], UInt8[np.ndarray, "s s"]] = {}

    def model_for(self, image: str, class_name: str) -> int:
        """The place of the model that makes the map; among equals always the same for an image."""
        places = range(len(self.models))
        fit = [place for place in places if class_name not in self.models[place][1]] or list(places)
        return fit[zlib.crc32(image.encode()) % len(fit)]

    @torch.inference_mode()
    def __call__(self, image: str, class_name: str) -> UInt8[np.ndarray, "s s"]:
        key = self.model_for(image, class_name), image
        if key not in self.made:
            network = self.models[key[0]][0]
            pixels = read_image(self.dataset.image_path(image))
            brought = torch.tensor(resize_image(pixels, self.size, self.size))[None]
            probability = network(network.backbone.normalise(brought))[0]
            self.made[key] = (probability * 255).round().to(torch.uint8).numpy()
        return self.made[key]


def other_class(dataset: EpisodeSet, name: str, generator: np.random.Generator) -> str:
    """Another class of the set; the same if it has no other."""
    return str(
        generator.choice([other for other, shown in dataset.images_of.items() if shown and other != name] or [name])
    )


def paste_object(member: GroupImage, other: GroupImage, generator: np.random.Generator, *, common: bool) -> GroupImage:
    """The member with the object of another laid over it somewhere, a fifth to six tenths of the side in size.

    Its map shows both. The mask holds the new object if it is `common`; else the object stands out and does not
    belong, which only the group can tell. What would hide more than half of the member's own object is left out.
    """
    rows, columns = np.flatnonzero(other.mask.any(axis=1)), np.flatnonzero(other.mask.any(axis=0))
    if not len(rows):
        return member
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    sides = np.array([rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]])
    side = len(member.mask)
    height, width = np.maximum(1, sides * (generator.uniform(0.2, 0.6) * side / sides.max())).astype(int).tolist()
    top, left = generator.integers(0, (side - height + 1, side - width + 1))
    place = slice(top, top + height), slice(left, left + width)
    shape = resize_labels(np.ascontiguousarray(other.mask[box]), height, width) == 1
    image, sism, mask = (plane.copy() for plane in member)
    mask[place][shape] = common
    if 2 * (mask & member.mask).sum() < member.mask.sum():
        return member
    image[place][shape] = resize_image(np.ascontiguousarray(other.image[box]), height, width)[shape]
    sism[place][shape] = resize_grey(np.ascontiguousarray(other.sism[box]), height, width)[shape]
    return GroupImage(image, sism, mask)


def degrade_map(sism: UInt8[np.ndarray, "h w"], generator: np.random.Generator) -> UInt8[np.ndarray, "h w"]:
    """The map made worse: paler or fuller, coarse, with something that does not belong, or knowing nothing at all.

    A map of training is better than that of an image which the saliency model never saw; and what takes a good map
    for granted copies it.
    """
    height, width = sism.shape
    kind = generator.integers(4)
    if kind == 0:
        return np.rint(255 * (sism / 255) ** np.exp(generator.uniform(-1.2, 1.2))).astype(np.uint8)
    if kind == 1:
        few = int(generator.integers(5, 15))
        return resize_grey(np.ascontiguousarray(resize_grey(sism, few, few)), height, width).copy()
    rows, columns = np.mgrid[:height, :width]
    centre, spread = generator.uniform(0.2, 0.8, size=2), generator.uniform(0.08, 0.3, size=2)
    blob = np.exp(
        -0.5 * (((rows / height - centre[0]) / spread[0]) ** 2 + ((columns / width - centre[1]) / spread[1]) ** 2)
    )
    blob = np.rint(blob * generator.uniform(80, 255)).astype(np.uint8)
    return np.maximum(sism, blob) if kind == 2 else blob
