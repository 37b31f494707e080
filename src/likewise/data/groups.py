"""Groups of images that share an object, for co-saliency and co-segmentation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from likewise.data.class_masks import folder_class_set, read_grey_mask
from likewise.data.episodes import EpisodeSet
from likewise.data.layout import Presence, find_home, images_by_folder
from likewise.errors import DataSetError, check_known
from likewise.io.images import read_image


@dataclass(frozen=True)
class GroupSet:
    """An index of named groups of images.

    Attributes:
        groups: the image names of each group.
        image_files, mask_files: files by "<group>/<image>".
        sism_files: single-image saliency maps (SISM) by "<group>/<image>"; empty where the set has none.
    """

    name: str
    groups: dict[str, tuple[str, ...]]
    presence: Presence
    image_files: Mapping[str, Path] = field(repr=False)
    mask_files: Mapping[str, Path] = field(repr=False)
    sism_files: Mapping[str, Path] = field(default_factory=dict, repr=False)

    def images_of(self, group: str) -> tuple[str, ...]:
        """Return the images of a group; an unknown group raises `DataSetError`."""
        check_known(group, self.groups, f"group of {self.name}", DataSetError)
        return self.groups[group]

    def image_path(self, group: str, image: str) -> Path:
        return self.image_files[f"{group}/{image}"]

    def read_mask(self, group: str, image: str) -> Bool[np.ndarray, "h w"]:
        return read_grey_mask(self.mask_files[f"{group}/{image}"])

    def read_sism(self, group: str, image: str) -> Float32[np.ndarray, "h w"]:
        """Return the single-image saliency map of an image, in [0, 1]."""
        return read_image(self.sism_files[f"{group}/{image}"])[..., 0].astype(np.float32) / 255


def cosaliency_groups(root: Path | str) -> GroupSet:
    """Return the groups of a co-saliency set: `image/<group>/*`, `gt/<group>/*` and optionally `sism/<group>/*`.

    CoCA, CoSOD3k, CoSal2015, iCoseg, MSRC, DUTS_class and COCO9213 are distributed in this layout. A mask is where grey
    exceeds 127. An image that lacks its mask (or its map, where there is a `sism` folder) counts as missing, and so
    does a mask that lacks its image.
    """
    home = find_home(root, (".",), ("image", "gt"), "a co-saliency data set (image/<group>/, gt/<group>/)")
    kinds = ("image", "gt", "sism") if (home / "sism").is_dir() else ("image", "gt")
    files = {kind: images_by_folder(home / kind) for kind in kinds}
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
        files["image"],
        files["gt"],
        files.get("sism", {}),
    )


def episodes_of_groups(groups: GroupSet) -> EpisodeSet:
    """Return the groups as a few-shot set: each group is a class, which all its images show."""
    names = [f"{group}/{image}" for group, images in groups.groups.items() for image in images]
    images = {name: groups.image_files[name] for name in names}
    masks = {name: groups.mask_files[name] for name in names}
    return folder_class_set(groups.name, "all", Path(), images, masks, read_grey_mask)
