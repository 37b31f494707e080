"""Recipes: everything that fixes a training run, as a checked object that YAML files and `key.path=value` give.

The files are in `recipe_files/`; each states which row of which paper it is after and what to expect (`Reference`).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class RecipeError(ValueError):
    """A recipe that cannot be had or does not hold together; the message says which key and what to write."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(Strict):
    """What a recipe is after.

    Attributes:
        paper: the paper, its table and row; or what else the recipe is measured by.
        expected: the number, with its protocol, and whether it is the paper's or measured with this recipe.
        hardware: what that number was had on.
        time: how long it took there.
        command: what to type.
    """

    paper: str
    expected: str
    hardware: str
    time: str
    command: str


class PANetModel(Strict):
    """PANet on one of our backbones.

    Attributes:
        backbone: its name (`likewise.backbones.BACKBONES`).
        taps: the modules whose features are compared.
        weights: a file of ImageNet weights; without one they come from where the backbone's do.
        learn: modules of the backbone that learn; nothing means all. Batch norm keeps its statistics everywhere.
        alignment: the weight of the alignment loss; 0 trains without.
    """

    name: Literal["panet"]
    backbone: str
    taps: tuple[str, ...]
    weights: Path | None = None
    learn: tuple[str, ...] = ()
    alignment: float = Field(default=1.0, ge=0)


class HSNetModel(Strict):
    """HSNet on one of our backbones, which stays frozen.

    Attributes:
        backbone: its name; every tap of stride 8, 16 and 32 from `first_tap` on is compared.
        first_tap: the shallowest tap.
        weights: a file of ImageNet weights; without one they come from where the backbone's do.
        start: a run of PANet on the same backbone, whose backbone is taken over as it was trained there.
        channels: of the squeeze blocks' three layers (`HSNetConfig`).
        prototype_taps: taps whose prototypes join in (`HSNetConfig`).
    """

    name: Literal["hsnet"]
    backbone: str
    first_tap: str
    weights: Path | None = None
    start: Path | None = None
    channels: tuple[int, int, int] = (16, 64, 128)
    prototype_taps: tuple[str, ...] = ()


class SaliencyModel(Strict):
    """Our saliency network, on the bundled backbone.

    Attributes:
        backbone: "lite0".
        width: channels of the decoder.
        learn: modules of the backbone that learn; nothing means all.
    """

    name: Literal["saliency"]
    backbone: Literal["lite0"] = "lite0"
    width: int = Field(default=64, ge=1)
    learn: tuple[str, ...] = ()


class ICNetModel(Strict):
    """ICNet.

    Attributes:
        backbone: "vgg16", as published, or "lite0", ours.
        weights: a file of ImageNet weights; without one they come from where the backbone's do.
        start: a saliency model, "saliency-lite0" or a run of it, whose backbone is taken over as it was trained there;
            or a run of icnet, all of which is taken over.
        learn: modules of the backbone that learn; nothing means all.
    """

    name: Literal["icnet"]
    backbone: Literal["vgg16", "lite0"]
    weights: Path | None = None
    start: str | None = None
    learn: tuple[str, ...] = ()


class SceneModel(Strict):
    """What MCIBI and its baseline share.

    Attributes:
        backbone: its name; the last tap gives the features, the one before, if any, feeds the auxiliary head.
        taps: the modules where it is read; nothing means all of its taps.
        weights: a file of ImageNet weights; without one they come from where the backbone's do.
        learn: modules of the backbone that learn; nothing means all.
        norms: batch norm of the backbone, "frozen" with ImageNet's statistics or "learning" them; its scales and shifts
            learn either way, and batch norm of the heads learns always. Learning wants batches of eight and more.
        channels: of the heads, and of MCIBI's features and memory.
        dropout: of whole channels, before each classifier.
    """

    backbone: str
    taps: tuple[str, ...] = ()
    weights: Path | None = None
    learn: tuple[str, ...] = ()
    norms: Literal["frozen", "learning"] = "frozen"
    channels: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class MCIBIModel(SceneModel):
    """MCIBI. `context` to `published` are those of `likewise.models.mcibi.MCIBIConfig`.

    Attributes:
        consistency: with the loss that asks stage 2 to tell the memory's vectors apart. On by default, as in the paper;
            the published settings have it for ADE20K alone.
        consistency_from: the fraction of the steps after which it starts. 0 by default, since the paper names no other;
            the published settings start it with the second epoch.
        momentum: of the memory: "polynomial" in the steps done, whatever the learning rate, as the paper says and by
            default; or "coupled" to the learning rate, as in the published program.
        momentum_start: at the first step.
        momentum_power: of the polynomial.
        memory: a saved memory of the same classes to start from; without one it starts empty.
    """

    name: Literal["mcibi"]
    context: Literal["none", "ppm", "aspp", "ocr"] = "none"
    aggregation: Literal["soft", "hard"] = "soft"
    attention_channels: int = Field(default=256, ge=1)
    slots: int = Field(default=1, ge=1)
    strategy: Literal["cosine_similarity", "mean"] = "cosine_similarity"
    published: bool = False
    consistency: bool = True
    consistency_from: float = Field(default=0.0, ge=0, le=1)
    momentum: Literal["polynomial", "coupled"] = "polynomial"
    momentum_start: float = Field(default=0.9, gt=0, le=1)
    momentum_power: float = Field(default=0.9, gt=0)
    memory: Path | None = None


class FCNModel(SceneModel):
    """MCIBI's baseline, without memory.

    Attributes:
        convolutions: 3x3, before the classifier.
    """

    name: Literal["fcn"]
    convolutions: int = Field(default=2, ge=1)


class Source(Strict):
    """One of several sets to train on, all classes of it.

    Attributes:
        set: the data set, whose loader has the same name.
        folder: where it is, below the data's root.
        weight: how often it is drawn from, relative to the others.
        without: classes left out, with every picture in which they are labelled.
        as_one: the name of the one class that all classes of the set make together.
    """

    set: Literal["pascal5i", "class_folders", "cosaliency", "davis", "label_folders"]
    folder: Path
    weight: float = Field(default=1.0, gt=0)
    without: tuple[str, ...] = ()
    as_one: str | None = None


class HeldOut(Strict):
    """Pictures to be measured on: nothing that shows one of them is trained on, whatever set it stands in.

    Attributes:
        folder: the co-saliency set that they are of, below the data's root.
        every: of each group every so-manieth picture, in natural order of the names; None for none.
        groups: groups that are held out as a whole.
    """

    folder: Path
    every: int | None = Field(default=None, ge=2)
    groups: tuple[str, ...] = ()


class LabelledData(Strict):
    """Pictures with masks of classes: the base classes of a fold, all classes of a set, or several sets.

    Attributes:
        set: the data set, whose loader has the same name; class_folders is a folder of your own, class/picture + mask;
            or a mixture of `sources`.
        root: where the public download is, or the folder.
        sources: of a mixture.
        fold: the classes of this fold are novel; no picture is labelled with them. None trains on all classes, which
            pascal5i and class_folders can.
        drop_leaking: leave out training pictures in which a novel class can be seen.
        on_corrupt: an unreadable picture stops the run, or its episode is replaced and the picture named.
    """

    set: Literal["pascal5i", "coco20i", "class_folders", "cosaliency", "davis", "label_folders", "mixture"]
    root: Path
    sources: tuple[Source, ...] = ()
    fold: int | None = Field(default=None, ge=0, le=3)
    drop_leaking: bool = False
    on_corrupt: Literal["stop", "skip"] = "stop"

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
        size: side of the squares to which pictures are brought.
        shots, ways: of an episode.
        mirror: the chance that a picture is mirrored.
        scale: the range of a random factor on the sides, after which a square of `size` is cut out at random.
        jitter: the strength of random brightness, contrast and saturation.
    """

    kind: Literal["episodes"]
    size: int = Field(ge=32)
    shots: int = Field(default=1, ge=1)
    ways: int = Field(default=1, ge=1)
    mirror: float = Field(ge=0, le=1)
    scale: tuple[float, float] = (1.0, 1.0)
    jitter: float = Field(default=0.0, ge=0, lt=1)


class GroupData(LabelledData):
    """Groups of pictures that show one class, with their single-image saliency maps.

    Attributes:
        pictures: of one group.
        maps: the saliency model that makes the maps, "saliency-lite0" or a run, or several
            (`likewise.train.groups.MadeMaps`); None takes those in the set's `sism/`.
        mirror: the chance that a picture is mirrored.
        crop: the least share of a picture's sides that is kept; 1 for no crop.
        disturb: the chance that a map is made worse than it is (`likewise.train.groups.disturbed`).
        held_out: pictures not to train on.
    """

    kind: Literal["groups"]
    pictures: int = Field(default=10, ge=1)
    maps: str | tuple[str, ...] | None = None
    mirror: float = Field(ge=0, le=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    disturb: float = Field(default=0.0, ge=0, le=1)
    held_out: HeldOut | None = None


class PictureData(LabelledData):
    """Pictures, in each of which all that is labelled is what stands out.

    Attributes:
        size: side of the squares to which pictures are brought.
        mirror: the chance that a picture is mirrored.
        crop: the least share of a picture's sides that is kept; 1 for no crop.
        jitter: the strength of changes of brightness, contrast and saturation.
        held_out: pictures not to train on.
    """

    kind: Literal["pictures"]
    size: int = Field(ge=32)
    mirror: float = Field(ge=0, le=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    jitter: float = Field(default=0.0, ge=0, le=1)
    held_out: HeldOut | None = None


class SceneData(Strict):
    """Pictures of which every pixel is labelled.

    Validation is on the val split of camvid, which has a test split besides. The val split of the other sets is what
    models are compared on, so there, and of a folder, a share of the training pictures is kept for it.

    Attributes:
        set: the data set (`likewise.data.SCENES`), or a folder of your own.
        root: where the public download is, or the folder.
        pictures, labels: of a folder: where the pictures and the label PNGs are, below the root.
        classes: of a folder: the names of labels 0, 1, ..., or a text file of them (`folder_scenes`); without it, each
            label that occurs is a class.
        keep_every: every so-manieth training picture is kept for validation; None keeps none.
        side: the short side to which pictures are brought first; None leaves them.
        scale: the range of a random factor on the sides.
        crop: the side of the squares that are then cut; what a picture lacks is not labelled.
        jitter: the strength of changes of brightness, contrast and saturation.
        mirror: the chance that a picture is mirrored; classes that are left and right of each other change places.
        on_corrupt: an unreadable picture stops the run, or another takes its place and it is named.
    """

    kind: Literal["scenes"]
    set: Literal["voc", "ade20k", "cityscapes", "coco-stuff-10k", "lip", "camvid", "folder"]
    root: Path
    pictures: Path = Path("pictures")
    labels: Path = Path("labels")
    classes: tuple[str, ...] | Path | None = None
    keep_every: int | None = Field(default=None, ge=2)
    side: int | None = Field(default=None, ge=32)
    scale: tuple[float, float] = (0.5, 2.0)
    crop: int = Field(ge=32)
    jitter: float = Field(default=0.0, ge=0, le=1)
    mirror: float = Field(default=0.5, ge=0, le=1)
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


class SGD(Strict):
    name: Literal["sgd"]
    learning_rate: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class Adam(Strict):
    name: Literal["adam"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(Strict):
    """The learning rate over the steps.

    Attributes:
        name: "constant"; "step", multiplied by 0.1 after each `every` steps; "cosine", down to zero; or "poly", with
            the power 0.9 of what is left of the steps, down to a hundredth.
        every: of "step" alone.
        warm_up: steps over which it first rises linearly.
    """

    name: Literal["constant", "step", "cosine", "poly"]
    every: int | None = Field(default=None, ge=1)
    warm_up: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _every_goes_with_step(self) -> Schedule:
        if (self.every is not None) != (self.name == "step"):
            raise ValueError("`every` goes with the schedule 'step', and only with it")
        return self


class Validation(Strict):
    """Selection of the weights, on base classes that are then not trained on; never on the fold's test classes.

    Attributes:
        classes: base classes kept from training, with every picture that shows one. Without any, nothing is
            selected and the last weights are the result.
        every: steps from one measurement to the next.
        episodes: of one measurement, the same each time, every class equally often.
    """

    classes: tuple[str, ...] = ()
    every: int = Field(default=100, ge=1)
    episodes: int = Field(default=400, ge=1)


KINDS = {
    "panet": "episodes",
    "hsnet": "episodes",
    "saliency": "pictures",
    "icnet": "groups",
    "mcibi": "scenes",
    "fcn": "scenes",
}
"""The kind of data that each model learns from."""


class Recipe(Strict):
    """A training run.

    Attributes:
        name: of the recipe.
        source: what it is after.
        licences: of the data and starting weights, to stand beside the result.
        steps: updates of the weights.
        batch: episodes, groups or pictures of one step, over all processes.
        average: the decay of the running mean of the weights that is then the result; None takes the weights.
        seed: of what is drawn, augmentation and the weights that start at random.
        precision: "float32", or "bfloat16" where autocast knows how.
        result: precision of the saved weights.
        accelerator: "auto", "cpu" or "cuda".
        processes: that share each batch.
        workers: processes that read pictures, for each of the former.
        checkpoint_every: steps from one checkpoint to the next.
        cache: folder in which the features of frozen layers are kept; None computes them each time.
    """

    name: str
    source: Reference
    licences: tuple[str, ...]
    model: Annotated[
        PANetModel | HSNetModel | SaliencyModel | ICNetModel | MCIBIModel | FCNModel, Field(discriminator="name")
    ]
    data: Annotated[EpisodeData | GroupData | PictureData | SceneData, Field(discriminator="kind")]
    optimiser: Annotated[SGD | Adam, Field(discriminator="name")]
    schedule: Schedule
    validation: Validation = Validation()
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    average: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    result: Literal["float32", "float16"] = "float32"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    processes: int = Field(default=1, ge=1)
    workers: int = Field(default=1, ge=0)
    checkpoint_every: int = Field(default=100, ge=1)
    cache: Path | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.batch % self.processes:
            raise ValueError(
                f"a batch of {self.batch} cannot be shared by {self.processes} processes: make `batch` a "
                "multiple of `processes`"
            )
        wanted = KINDS[self.model.name]
        if self.data.kind != wanted:
            raise ValueError(
                f"{self.model.name} learns from {wanted}, not from {self.data.kind}: set data.kind={wanted}"
            )
        if self.model.name == "hsnet" and self.data.kind == "episodes" and self.data.ways != 1:
            raise ValueError(f"HSNet learns from one class at a time, not from {self.data.ways}: set data.ways=1")
        return self


def recipe_names() -> list[str]:
    """The recipes that come with the installation."""
    folder = resources.files("likewise.train") / "recipe_files"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or of a YAML file, with settings replaced by `key.path=value`.

    Values are YAML: `steps=10`, `validation.classes=[bus, car]`, `cache=null`.

    Raises:
        RecipeError: there is no such recipe; or a key or value is wrong, and the message names the nearest key.
    """
    source, text = _recipe_text(recipe)
    try:
        settings: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{source}: is no YAML ({error})") from error
    if not isinstance(settings, dict):
        raise RecipeError(f"{source}: holds {type(settings).__name__}, a recipe is a mapping of settings")
    for override in overrides:
        _override(settings, override)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeError(f"{source}: " + "; ".join(_told(problem) for problem in error.errors())) from error


def key_paths(model: type[BaseModel] = Recipe) -> list[str]:
    """Every `key.path` that a recipe may have, all variants of a section together."""
    return list(dict.fromkeys(_key_paths(model)))


def _key_paths(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for section in _sections(field.annotation):
            for path in _key_paths(section):
                yield f"{name}.{path}"


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [section for variant in get_args(annotation) for section in _sections(variant)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _recipe_text(recipe: str | Path) -> tuple[str, str]:
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise RecipeError(f"{path}: there is no such recipe file")
        return str(path), path.read_text(encoding="utf-8")
    names = recipe_names()
    if str(recipe) not in names:
        raise RecipeError(
            f"no recipe is called {str(recipe)!r}{_nearest(str(recipe), names)}; there are {', '.join(names)}, "
            "or give the path of a .yaml file"
        )
    file = resources.files("likewise.train") / "recipe_files" / f"{recipe}.yaml"
    return str(recipe), file.read_text(encoding="utf-8")


def _override(settings: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"{override!r} is no setting; write key.path=value, as in data.fold=1")
    paths = key_paths()
    if path not in paths:
        raise RecipeError(f"a recipe has no key {path!r}{_nearest(path, paths)}")
    if any(other.startswith(f"{path}.") for other in paths):
        raise RecipeError(f"{path!r} is a section; set its keys, as in {path}.{_first_key(path, paths)}=...")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the value of {path} is no YAML: {text!r}") from error
    *sections, key = path.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise RecipeError(f"{section} is no section in this recipe, so {path} cannot be set")
    settings[key] = value


def _first_key(path: str, paths: list[str]) -> str:
    return next(other for other in paths if other.startswith(f"{path}.")).removeprefix(f"{path}.")


def _told(problem: Any) -> str:
    # the location of a section with variants holds the variant's name as well, in its second place
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] in ("model", "data", "optimiser"):
        del place[1]
    path = ".".join(place)
    if problem["type"] == "extra_forbidden":
        return f"a recipe has no key {path!r} here{_nearest(path, [other for other in key_paths() if other != path])}"
    if problem["type"] == "missing":
        return f"{path} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path} is {problem['input']!r}: {message}" if path else message


def _nearest(given: str, known: Sequence[str]) -> str:
    """The nearest of the known names as a hint; parts are compared one by one, from the last."""

    def likeness(name: str) -> float:
        parts = zip(reversed(given.lower().split(".")), reversed(name.lower().split(".")), strict=False)
        return sum(difflib.SequenceMatcher(None, one, other).ratio() for one, other in parts)

    return f"; did you mean {max(known, key=likeness)!r}?"
