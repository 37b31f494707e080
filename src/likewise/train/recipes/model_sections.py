"""The model section of a recipe, one class for each model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from likewise.train.recipes.sections import LARGEST_COUNT, Section

Channels = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]


class PANetModel(Section):
    """PANet.

    Attributes:
        backbone: name in `likewise.backbones.specs.BACKBONES`.
        taps: modules whose features are compared.
        weights: file of ImageNet weights; None uses the backbone's default source.
        learn: modules of the backbone to train; empty trains all. Batch norm statistics stay fixed.
        alignment: weight of the alignment loss; 0 trains without it.
    """

    name: Literal["panet"]
    backbone: str
    taps: tuple[str, ...]
    weights: Path | None = None
    learn: tuple[str, ...] = ()
    alignment: float = Field(default=1.0, ge=0)


class HSNetModel(Section):
    """HSNet with a frozen backbone.

    Attributes:
        backbone: name in `likewise.backbones.specs.BACKBONES`; taps of stride 8, 16 and 32 from `first_tap` on are
            compared.
        first_tap: the shallowest tap.
        weights: file of ImageNet weights; None uses the backbone's default source.
        channels: of the three layers of the squeeze blocks.
    """

    name: Literal["hsnet"]
    backbone: str
    first_tap: str
    weights: Path | None = None
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


class ICNetModel(Section):
    """ICNet.

    Attributes:
        backbone: "vgg16" as published, or "lite0".
        weights: file of ImageNet weights; None uses the backbone's default source.
        start: a model to continue from: "saliency-lite0" or a run of saliency or panet, whose backbone is copied, or a
            run of icnet, which is copied whole. Backbone and taps must be the same.
        learn: modules of the backbone to train; empty trains all, null none.
        compress: compress features before comparing them, as published (`likewise.models.icnet.ICNetConfig`). Only
            lite0 works without.
    """

    name: Literal["icnet"]
    backbone: Literal["vgg16", "lite0"]
    weights: Path | None = None
    start: str | None = None
    learn: tuple[str, ...] | None = ()
    compress: bool = True

    @model_validator(mode="after")
    def _vgg16_compresses(self) -> ICNetModel:
        if self.backbone == "vgg16" and not self.compress:
            raise ValueError("vgg16 requires compressed features: set model.compress=true")
        return self


class SceneModel(Section):
    """Settings that MCIBI and its baseline share.

    Attributes:
        backbone: name in `likewise.backbones.specs.BACKBONES`.
        taps: modules to read features from; empty uses the backbone's default taps. The last tap feeds the decoder,
            the one before it, if any, the auxiliary head.
        weights: file of ImageNet weights; None uses the backbone's default source.
        learn: modules of the backbone to train; empty trains all.
        norms: batch norm statistics of the backbone, "frozen" or "learning"; the latter needs a batch of 8 or more.
            Scales, shifts and the heads' batch norm always learn.
        channels: of the heads, and of MCIBI's features and memory.
        dropout: probability of dropping a channel before each classifier.
        detail: refine the logits with the first tap (`likewise.models.blocks.scene_heads.Detail`).
        overlap: weight of the overlap loss of the last stage (`likewise.models.blocks.scene_heads.overlap_loss`),
            computed over the images of one process; 0 as published.
    """

    backbone: str
    taps: tuple[str, ...] = ()
    weights: Path | None = None
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
