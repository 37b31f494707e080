"""Groups of images that share an object, for co-saliency and co-segmentation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.data.episodes import Entry, EpisodeSet, keep_present
from likewise.data.layout import (
    Presence,
    find_home,
    folders_in,
    images_in,
)
from likewise.errors import DataSetError, check_known
from likewise.io.images import read_image


@dataclass(frozen=True)
class GroupSet:
    """An index of named groups of images.

    `groups` maps a group to the names of its images. `image_path(group, image)` is a file,
    `read_mask(group, image)` a bool mask (h, w), and `read_sism(group, image)`, where the set carries such maps,
    the single-image saliency map, float32 (h, w) in [0, 1].
    """

    name: str
    groups: dict[str, tuple[str, ...]]
    presence: Presence
    image_path: Callable[[str, str], Path] = field(repr=False)
    read_mask: Callable[[str, str], np.ndarray] = field(repr=False)
    read_sism: Callable[[str, str], np.ndarray] | None = field(default=None, repr=False)

    def images_of(self, group: str) -> tuple[str, ...]:
        """The images of a group; an unknown one raises `DataSetError` with the nearest."""
        check_known(group, self.groups, f"group of {self.name}", DataSetError)
        return self.groups[group]


def cosaliency_groups(root: Path | str) -> GroupSet:
    """The layout of the co-saliency sets: `image/<group>/*.jpg`, `gt/<group>/*.png`, optional `sism/<group>/*.png`.

    CoCA, CoSOD3k, CoSal2015, iCoseg, MSRC, DUTS_class and COCO9213 are all passed around like this. A mask is grey
    values above 127. An image without its mask (or without its map, when there is a `sism` folder) counts as
    missing, and so does a mask without its image.
    """
    home = find_home(root, (".",), ("image", "gt"), "a co-saliency data set (image/<group>/, gt/<group>/)")
    with_sism = (home / "sism").is_dir()
    kinds = ("image", "gt", "sism") if with_sism else ("image", "gt")
    files: dict[str, dict[str, Path]] = {}
    for kind in kinds:
        found = [path for folder in folders_in(home / kind) for path in images_in(folder)]
        files[kind] = {f"{path.parent.name}/{path.stem}": path for path in found}
    listed = tuple(dict.fromkeys((*files["image"], *files["gt"])))
    missing = tuple(key for key in listed if any(key not in files[kind] for kind in kinds))
    groups: dict[str, list[str]] = {}
    for key in listed:
        if key not in missing:
            group, _, image = key.partition("/")
            groups.setdefault(group, []).append(image)
    if not groups:
        raise DataSetError(f"none of the {len(listed)} images in {home} has all of {', '.join(kinds)}")
    return GroupSet(
        home.resolve().name,
        {group: tuple(images) for group, images in groups.items()},
        Presence(home.resolve().name, len(listed), missing),
        partial(group_file, files["image"]),
        partial(group_mask, files["gt"]),
        partial(group_sism, files["sism"]) if with_sism else None,
    )


def group_file(files: dict[str, Path], group: str, image: str) -> Path:
    return files[f"{group}/{image}"]


def group_mask(files: dict[str, Path], group: str, image: str) -> Bool[np.ndarray, "h w"]:
    return read_image(group_file(files, group, image))[..., 0] > 127


def group_sism(files: dict[str, Path], group: str, image: str) -> Float32[np.ndarray, "h w"]:
    return read_image(group_file(files, group, image))[..., 0].astype(np.float32) / 255


def episodes_of_groups(groups: GroupSet) -> EpisodeSet:
    """Each group as a class: any two of its images show its object."""
    listed = [Entry(f"{group}/{image}", group) for group, images in groups.groups.items() for image in images]
    return keep_present(
        groups.name,
        None,
        "all",
        tuple(groups.groups),
        listed,
        partial(group_image, groups),
        partial(of_group, groups),
    )


def group_image(groups: GroupSet, image: str) -> Path:
    return groups.image_path(*image.split("/", 1))


def of_group(groups: GroupSet, image: str, class_name: str) -> UInt8[np.ndarray, "h w"]:
    """The mask for the class of the image's group, nothing for another class."""
    group, name = image.split("/", 1)
    return (groups.read_mask(group, name) & (group == class_name)).astype(np.uint8)
