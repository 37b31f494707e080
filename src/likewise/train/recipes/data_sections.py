"""What a recipe says of its data: episodes, groups, single images or scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from likewise.train.recipes.sections import Section


def as_tuple(value: object) -> object:
    """One number as the only one of several."""
    return (value,) if isinstance(value, int) else value


class Source(Section):
    """One of several sets to train on, all classes of it.

    Attributes:
        set: the data set (`likewise.train.samples.sources.OPENERS`).
        folder: where it is, below the data's root.
        weight: how often it is drawn from, relative to the others.
        without: classes left out, with every image in which they are labelled.
        as_one: the name of the one class that all classes of the set make together.
        names: the names that classes go by in the other sets, where this one has its own; a backbone that was trained
            on such a class is then known to have been.
    """

    set: Literal["pascal5i", "class_folders", "cosaliency", "davis", "label_folders"]
    folder: Path
    weight: float = Field(default=1.0, gt=0)
    without: tuple[str, ...] = ()
    as_one: str | None = None
    names: dict[str, str] = Field(default_factory=dict)


class HeldOut(Section):
    """Images to be measured on: nothing that shows one of them is trained on, whatever set it stands in.

    Attributes:
        folder: the co-saliency set that they are of, below the data's root.
        every: of each group every so-manieth image, in natural order of the names; None for none.
        groups: groups that are held out as a whole.
    """

    folder: Path
    every: int | None = Field(default=None, ge=2)
    groups: tuple[str, ...] = ()


class LabelledData(Section):
    """Images with masks of classes: the base classes of a fold, all classes of a set, or several sets.

    Attributes:
        set: the data set; class_folders is a folder of your own, class/image + mask; or a mixture of `sources`.
        root: where the public download is, or the folder.
        sources: of a mixture.
        fold: of pascal5i and coco20i: its classes are novel, no image is labelled with them. None trains on all
            classes, which coco20i cannot.
        drop_leaking: leave out training images in which a novel class can be seen.
        on_corrupt: an unreadable image stops the run, or what it stands in is drawn anew and the image named.
        held_out: images not to train on.
    """

    set: Literal["pascal5i", "coco20i", "class_folders", "cosaliency", "davis", "label_folders", "mixture"]
    root: Path
    sources: tuple[Source, ...] = ()
    fold: int | None = Field(default=None, ge=0, le=3)
    drop_leaking: bool = False
    on_corrupt: Literal["stop", "skip"] = "stop"
    held_out: HeldOut | None = None

    @model_validator(mode="after")
    def _fold_and_sources_go_with_the_set(self) -> LabelledData:
        if self.set == "coco20i" and self.fold is None:
            raise ValueError("coco20i needs a fold: set data.fold=0, 1, 2 or 3")
        if self.set not in ("coco20i", "pascal5i") and self.fold is not None:
            raise ValueError(f"{self.set} has no folds: set data.fold=null")
        if (self.set == "mixture") != bool(self.sources):
            raise ValueError("`sources` go with the set 'mixture', and only with it")
        return self


class EpisodeData(LabelledData):
    """Training episodes.

    Attributes:
        size: side of the squares to which images are brought.
        shots: supports of each class of an episode; of several numbers the steps take one after the other, and
            validation the first.
        ways: classes of an episode.
        mirror: the chance that an image is mirrored.
        scale: the range of a random factor on the sides, after which a square of `size` is cut out at random.
        jitter: the strength of random brightness, contrast and saturation.
    """

    kind: Literal["episodes"]
    size: int = Field(ge=32)
    shots: Annotated[tuple[PositiveInt, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (1,)
    ways: int = Field(default=1, ge=1)
    mirror: float = Field(ge=0, le=1)
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = Field(default=0.0, ge=0, lt=1)


class GroupData(LabelledData):
    """Groups of images that show one class, with their single-image saliency maps.

    Attributes:
        images: of one group.
        maps: the saliency model that makes the maps, "saliency-lite0" or a run, or several
            (`likewise.train.samples.groups.ComputedMaps`); None takes those in the set's `sism/`.
        mirror: the chance that an image is mirrored.
        crop: the least share of an image's sides that is kept; 1 for no crop.
        paste: the chance that an object of another image of the set is laid over an image, of the group's class or
            of another one, each as often (`likewise.train.samples.groups.paste_object`).
        disturb: the chance that a map is made worse than it is (`likewise.train.samples.groups.degrade_map`).
    """

    kind: Literal["groups"]
    images: int = Field(default=10, ge=1)
    maps: str | tuple[str, ...] | None = None
    mirror: float = Field(ge=0, le=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    paste: float = Field(default=0.0, ge=0, le=1)
    disturb: float = Field(default=0.0, ge=0, le=1)


class ImageData(LabelledData):
    """Images, in each of which all that is labelled is what stands out.

    Attributes:
        size: side of the squares to which images are brought.
        mirror: the chance that an image is mirrored.
        crop: the least share of an image's sides that is kept; 1 for no crop.
        jitter: the strength of changes of brightness, contrast and saturation.
    """

    kind: Literal["images"]
    size: int = Field(ge=32)
    mirror: float = Field(ge=0, le=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    jitter: float = Field(default=0.0, ge=0, le=1)


class SceneData(Section):
    """Images of which every pixel is labelled.

    Validation is on the val split of camvid, which has a test split besides. The val split of the other sets is what
    models are compared on, so there, and of a folder, a share of the training images is kept for it.

    Attributes:
        set: the data set (`likewise.data.benchmarks.SCENES`), or a folder of your own.
        root: where the public download is, or the folder.
        images, labels: of a folder: where the images and the label PNGs are, below the root.
        classes: of a folder: the names of labels 0, 1, ..., or a text file of them (`folder_scenes`); without it, each
            label that occurs is a class.
        keep_every: every so-manieth training image is kept for validation; None keeps none.
        side: the short side to which images are brought first; None leaves them.
        scale: the range of a random factor on the sides.
        crop: the side of the squares that are then cut; what an image lacks is not labelled.
        jitter: the strength of changes of brightness, contrast and saturation.
        mirror: the chance that an image is mirrored; classes that are left and right of each other change places.
        balance: how much rare classes gain in the loss: a pixel weighs (median share of pixels / its class's) to this
            power. 0 weighs all pixels alike; 1 is median frequency balancing (Eigen, Fergus, ICCV 2015).
        on_corrupt: an unreadable image stops the run, or another takes its place and it is named.
    """

    kind: Literal["scenes"]
    set: Literal["voc", "ade20k", "cityscapes", "coco-stuff-10k", "lip", "camvid", "folder"]
    root: Path
    images: Path = Path("images")
    labels: Path = Path("labels")
    classes: tuple[str, ...] | Path | None = None
    keep_every: int | None = Field(default=None, ge=2)
    side: int | None = Field(default=None, ge=32)
    scale: tuple[float, float] = (0.5, 2.0)
    crop: int = Field(ge=32)
    jitter: float = Field(default=0.0, ge=0, le=1)
    mirror: float = Field(default=0.5, ge=0, le=1)
    balance: float = Field(default=0.0, ge=0, le=1)
    on_corrupt: Literal["stop", "skip"] = "stop"

    @model_validator(mode="after")
    def _fits_the_set(self) -> SceneData:
        if self.set != "folder" and self.classes is not None:
            raise ValueError(f"the classes of {self.set} are known: set data.classes=null, or data.set=folder")
        if self.set == "camvid" and self.keep_every is not None:
            raise ValueError("camvid has a split to validate on: set data.keep_every=null")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is {list(self.scale)}: write [least, most], both above 0")
        return self
