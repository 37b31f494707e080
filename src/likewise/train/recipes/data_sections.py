"""The data section of a recipe: episodes, groups, single images or fully labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from likewise.io.resize import LARGEST_SIDE
from likewise.train.recipes.sections import LARGEST_COUNT, Section

Shots = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]


def as_tuple(value: object) -> object:
    """Return a number as a tuple of one, anything else unchanged."""
    return (value,) if isinstance(value, int) else value


class Source(Section):
    """One data set of a mixture, with all of its classes.

    Attributes:
        set: kind of data set (`likewise.train.samples.sources.OPENERS`).
        folder: its place below the data's root.
        weight: sampling weight relative to the other sources.
        without: classes to leave out, with every image in which they are labelled.
        as_one: if given, all classes of the set are merged into one class of this name.
        names: new names of classes, so that equal classes have equal names in all sets. ICNet recognises by name which
            classes a saliency model was trained on.
    """

    set: Literal["pascal5i", "class_folders", "cosaliency", "davis", "label_folders", "annotations"]
    folder: Path
    weight: float = Field(default=1.0, gt=0)
    without: tuple[str, ...] = ()
    as_one: str | None = None
    names: dict[str, str] = Field(default_factory=dict)


class HeldOut(Section):
    """Images of a co-saliency set to measure on. No image with the same content is trained on, in any set.

    Attributes:
        folder: the co-saliency set, below the data's root.
        every: hold out every n-th image of each group, in natural order of the names; None holds out none.
        groups: groups held out completely.
    """

    folder: Path
    every: int | None = Field(default=None, ge=2)
    groups: tuple[str, ...] = ()


class LabelledData(Section):
    """Images with class masks: the base classes of a fold, all classes of a set, or a mixture of sets.

    Attributes:
        set: kind of data set. "class_folders" is a folder of your own with a folder of images and masks for each
            class; "annotations" a file or folder of another tool (docs/formats.md); "mixture" combines `sources`.
        root: folder of the public download, or your folder.
        sources: the sets of a mixture.
        fold: fold of pascal5i or coco20i, whose novel classes are not trained on. None trains on all classes
            (pascal5i only).
        drop_leaking: leave out training images that show a novel class.
        on_corrupt: "stop" the run at an unreadable image, or "skip" it with a warning and draw another.
        held_out: images to exclude from training.
    """

    set: Literal[
        "pascal5i", "coco20i", "class_folders", "cosaliency", "davis", "label_folders", "annotations", "mixture"
    ]
    root: Path
    sources: tuple[Source, ...] = ()
    fold: int | None = Field(default=None, ge=0, le=3)
    drop_leaking: bool = False
    on_corrupt: Literal["stop", "skip"] = "stop"
    held_out: HeldOut | None = None

    @model_validator(mode="after")
    def _fold_and_sources_match_the_set(self) -> LabelledData:
        if self.set == "coco20i" and self.fold is None:
            raise ValueError("coco20i needs a fold: set data.fold=0, 1, 2 or 3")
        if self.set not in ("coco20i", "pascal5i") and self.fold is not None:
            raise ValueError(f"{self.set} has no folds: set data.fold=null")
        if (self.set == "mixture") != bool(self.sources):
            raise ValueError("`sources` is required by the set 'mixture' and not allowed with any other")
        return self


class EpisodeData(LabelledData):
    """Training episodes.

    Attributes:
        size: side of the square images, in pixels.
        shots: support images per class; with several numbers, steps cycle through them and validation uses the first.
        ways: classes per episode.
        mirror: probability of mirroring an image.
        scale: range of a random scale factor, followed by a random crop of `size`; [1, 1] turns both off.
        jitter: strength of random brightness, contrast and saturation.
    """

    kind: Literal["episodes"]
    size: int = Field(ge=32, le=LARGEST_SIDE)
    shots: Annotated[tuple[Shots, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (1,)
    ways: int = Field(default=1, ge=1, le=LARGEST_COUNT)
    mirror: float = Field(ge=0, le=1)
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = Field(default=0.0, ge=0, lt=1)


class GroupData(LabelledData):
    """Groups of images of one class, with single-image saliency maps.

    Attributes:
        images: images per group.
        maps: saliency model that computes the maps: "saliency-lite0", a run's folder, or several
            (`likewise.train.samples.groups.ComputedMaps`). None reads the set's `sism/`.
        mirror: probability of mirroring an image.
        crop: smallest fraction of each side that a random crop keeps; 1 for no crop.
        paste: probability of pasting an object of another image of the set, half the time of the group's class
            (`likewise.train.samples.groups.paste_object`).
        disturb: probability of degrading a saliency map (`likewise.train.samples.groups.degrade_map`).
    """

    kind: Literal["groups"]
    images: int = Field(default=10, ge=1, le=LARGEST_COUNT)
    maps: str | tuple[str, ...] | None = None
    mirror: float = Field(ge=0, le=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    paste: float = Field(default=0.0, ge=0, le=1)
    disturb: float = Field(default=0.0, ge=0, le=1)


class ImageData(LabelledData):
    """Single images in which every labelled object is salient.

    Attributes:
        size: side of the square images, in pixels.
        mirror: probability of mirroring an image.
        crop: smallest fraction of each side that a random crop keeps; 1 for no crop.
        jitter: strength of random brightness, contrast and saturation.
    """

    kind: Literal["images"]
    size: int = Field(ge=32, le=LARGEST_SIDE)
    mirror: float = Field(ge=0, le=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    jitter: float = Field(default=0.0, ge=0, le=1)


class SceneData(Section):
    """Fully labelled images.

    CamVid is validated on its `val` split, since it has a test split too. On the other public sets models are compared
    on `val`; there, and for a folder, validation uses a part of the training images.

    Attributes:
        set: kind of data set (`likewise.data.benchmarks.SCENES`), "folder" for images of your own, or "annotations" for
            a file or folder of another tool (docs/formats.md), whose classes follow "background".
        root: folder of the public download, or your folder.
        images, labels: folders of the images and of the label PNGs or TIFFs below the root, for "folder".
        classes: names of labels 0, 1, ..., or a text file of them, for "folder"; None makes a class of every label. For
            "annotations", names of the classes to learn; None learns all.
        keep_every: keep every n-th training image for validation; None keeps none.
        side: resize images to this short side first, in pixels; None keeps their size.
        scale: range of a random scale factor.
        crop: side of the random square crop, in pixels; the area outside the image is ignored.
        jitter: strength of random brightness, contrast and saturation.
        mirror: probability of mirroring; left and right classes are exchanged.
        balance: exponent of the class weights in the loss, (median frequency / class frequency) ** balance. 0 weighs
            all pixels equally, 1 is median frequency balancing (Eigen and Fergus, ICCV 2015).
        on_corrupt: "stop" the run at an unreadable image, or "skip" it with a warning and draw another.
    """

    kind: Literal["scenes"]
    set: Literal["voc", "ade20k", "cityscapes", "coco-stuff-10k", "lip", "camvid", "folder", "annotations"]
    root: Path
    images: Path = Path("images")
    labels: Path = Path("labels")
    classes: tuple[str, ...] | Path | None = None
    keep_every: int | None = Field(default=None, ge=2)
    side: int | None = Field(default=None, ge=32, le=LARGEST_SIDE)
    scale: tuple[float, float] = (0.5, 2.0)
    crop: int = Field(ge=32, le=LARGEST_SIDE)
    jitter: float = Field(default=0.0, ge=0, le=1)
    mirror: float = Field(default=0.5, ge=0, le=1)
    balance: float = Field(default=0.0, ge=0, le=1)
    on_corrupt: Literal["stop", "skip"] = "stop"

    @model_validator(mode="after")
    def _settings_match_the_set(self) -> SceneData:
        if self.set not in ("folder", "annotations") and self.classes is not None:
            raise ValueError(f"{self.set} defines its classes: set data.classes=null, or data.set=folder")
        if self.set == "camvid" and self.keep_every is not None:
            raise ValueError("camvid is validated on its val split: set data.keep_every=null")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is {list(self.scale)}: write [minimum, maximum], both above 0")
        return self


Data = Annotated[EpisodeData | GroupData | ImageData | SceneData, Field(discriminator="kind")]
