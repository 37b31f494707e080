"""The sections of a recipe but for its data: reference, optimiser, schedule, validation, and one for each model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LARGEST_COUNT = 65536
"""The largest number of images, channels, layers or processes; a typing error is refused before memory is full."""


class Section(BaseModel):
    """An immutable part of a recipe; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reference(Section):
    """The published or measured result that a recipe reproduces.

    Attributes:
        paper: the paper, with table and row; or the purpose of a recipe without a published counterpart.
        expected: the number, its protocol, and whether the paper reports it or this recipe was measured.
        hardware: the machine on which the recipe was measured, or the machine it needs.
    """

    paper: str
    expected: str
    hardware: str
    time: str
    command: str


class SGD(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    learning_rate: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class Adam(Section):
    """Adam with torch's default betas."""

    name: Literal["adam"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Schedule(Section):
    """The learning rate as a function of the step.

    Attributes:
        name: "constant"; "step", divided by 10 after each `every` steps; "cosine", down to 0; or "poly", with power
            0.9 of the remaining fraction of the steps, down to a hundredth.
        every: steps between two reductions, for "step" only.
        warm_up: steps of linear increase at the start.
    """

    name: Literal["constant", "step", "cosine", "poly"]
    every: int | None = Field(default=None, ge=1)
    warm_up: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _every_needs_step(self) -> Schedule:
        if (self.every is not None) != (self.name == "step"):
            raise ValueError("`every` is required by the schedule 'step' and not allowed with any other")
        return self


class Validation(Section):
    """Selection of the best weights on held-out training data; test classes and test images never select.

    Attributes:
        classes: base classes excluded from training, with every image that shows one. If empty, episodic models are
            not validated and the last weights are the result.
        every: steps between two validations.
        episodes: number of validation episodes; the same for every validation, all classes equally often.
    """

    classes: tuple[str, ...] = ()
    every: int = Field(default=100, ge=1)
    episodes: int = Field(default=400, ge=1)


Channels = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]


class OnBackbone(Section):
    """A model on any backbone.

    Attributes:
        backbone: name in `likewise.backbones.specs.BACKBONES`.
        weights: file of ImageNet weights; None uses the backbone's default source.
    """

    backbone: str
    weights: Path | None = None


class PANetModel(OnBackbone):
    """PANet.

    Attributes:
        taps: modules whose features are compared.
        learn: modules of the backbone to train; empty trains all. Batch norm statistics stay fixed.
        alignment: weight of the alignment loss; 0 trains without it.
    """

    name: Literal["panet"]
    taps: tuple[str, ...]
    learn: tuple[str, ...] = ()
    alignment: float = Field(default=1.0, ge=0)


class HSNetModel(OnBackbone):
    """HSNet with a frozen backbone.

    Attributes:
        first_tap: the shallowest tap; all taps of stride 8, 16 and 32 from there on are compared.
        channels: of the three layers of the squeeze blocks.
    """

    name: Literal["hsnet"]
    first_tap: str
    channels: tuple[Channels, Channels, Channels] = (16, 64, 128)


class SaliencyModel(Section):
    """Our saliency network on the bundled backbone.

    Attributes:
        backbone: "lite0".
        width: channels of the decoder.
        learn: modules of the backbone to train; empty trains all.
    """

    name: Literal["saliency"]
    backbone: Literal["lite0"] = "lite0"
    width: int = Field(default=64, ge=1, le=LARGEST_COUNT)
    learn: tuple[str, ...] = ()


class ICNetModel(OnBackbone):
    """ICNet.

    Attributes:
        backbone: "vgg16" as published, or "lite0".
        start: a model to continue from: "saliency-lite0" or a run of saliency or panet, whose backbone is copied, or a
            run of icnet, which is copied whole. Backbone and taps must be the same.
        learn: modules of the backbone to train; empty trains all, null none.
        compress: compress features before comparing them, as published (`likewise.models.icnet.ICNetConfig`). Only
            lite0 works without.
    """

    name: Literal["icnet"]
    backbone: Literal["vgg16", "lite0"]
    start: str | None = None
    learn: tuple[str, ...] | None = ()
    compress: bool = True

    @model_validator(mode="after")
    def _vgg16_compresses(self) -> ICNetModel:
        if self.backbone == "vgg16" and not self.compress:
            raise ValueError("vgg16 requires compressed features: set model.compress=true")
        return self


class SceneModel(OnBackbone):
    """Settings that MCIBI and its baseline share.

    Attributes:
        taps: modules to read features from; empty uses the backbone's default taps. The last tap feeds the decoder,
            the one before it, if any, the auxiliary head.
        learn: modules of the backbone to train; empty trains all.
        norms: batch norm statistics of the backbone, "frozen" or "learning"; the latter needs a batch of 8 or more.
            Scales, shifts and the heads' batch norm always learn.
        channels: of the heads, and of MCIBI's features and memory.
        dropout: probability of dropping a channel before each classifier.
        detail: refine the logits with the first tap (`likewise.models.blocks.scene_heads.Detail`).
        overlap: weight of the overlap loss of the last stage (`likewise.models.blocks.scene_heads.overlap_loss`),
            computed over the images of one process; 0 as published.
    """

    taps: tuple[str, ...] = ()
    learn: tuple[str, ...] = ()
    norms: Literal["frozen", "learning"] = "frozen"
    channels: int = Field(default=512, ge=1, le=LARGEST_COUNT)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    detail: bool = False
    overlap: float = Field(default=0.0, ge=0)


class MCIBIModel(SceneModel):
    """MCIBI. `context` to `published` are described in `likewise.models.mcibi.MCIBIConfig`.

    Attributes:
        consistency: add the consistency loss on the memory's vectors. True as in the paper; the published settings use
            it for ADE20K only.
        consistency_from: fraction of the steps after which the consistency loss starts. The paper gives none; the
            published settings start it with the second epoch.
        momentum: of the memory: "polynomial" in the step, as in the paper, or "coupled" to the learning rate, as in
            the published program.
        momentum_start: momentum at the first step.
        momentum_power: power of the polynomial.
        memory: file of a memory of the same classes to start from; None starts with an empty memory.
    """

    name: Literal["mcibi"]
    context: Literal["none", "ppm", "aspp", "ocr"] = "none"
    aggregation: Literal["soft", "hard"] = "soft"
    attention_channels: int = Field(default=256, ge=1, le=LARGEST_COUNT)
    slots: int = Field(default=1, ge=1, le=LARGEST_COUNT)
    strategy: Literal["cosine_similarity", "mean"] = "cosine_similarity"
    published: bool = False
    consistency: bool = True
    consistency_from: float = Field(default=0.0, ge=0, le=1)
    momentum: Literal["polynomial", "coupled"] = "polynomial"
    momentum_start: float = Field(default=0.9, gt=0, le=1)
    momentum_power: float = Field(default=0.9, gt=0)
    memory: Path | None = None


class FCNModel(SceneModel):
    """MCIBI's baseline without memory, with this number of 3x3 convolutions before the classifier."""

    name: Literal["fcn"]
    convolutions: int = Field(default=2, ge=1, le=64)


Optimiser = Annotated[SGD | Adam, Field(discriminator="name")]
Model = Annotated[
    PANetModel | HSNetModel | SaliencyModel | ICNetModel | MCIBIModel | FCNModel, Field(discriminator="name")
]
