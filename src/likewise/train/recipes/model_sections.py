"""What a recipe says of its model: a section for each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from likewise.train.recipes.sections import Section


class PANetModel(Section):
    """PANet on one of our backbones.

    Attributes:
        backbone: its name (`likewise.backbones.specs.BACKBONES`).
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


class HSNetModel(Section):
    """HSNet on one of our backbones, which stays frozen.

    Attributes:
        backbone: its name; every tap of stride 8, 16 and 32 from `first_tap` on is compared.
        first_tap: the shallowest tap.
        weights: a file of ImageNet weights; without one they come from where the backbone's do.
        start: runs of PANet, or HSNet, on the same backbone; the last one's is taken over as it was trained there.
            Training looks at each class through the first that was not trained on it, since features know the classes
            that they were trained on better than any that they will meet in use; through the last if all were.
        loss: of the logits, "cross-entropy" as published or "overlap", one minus the soft IoU of a batch.
        channels: of the squeeze blocks' three layers (`HSNetConfig`).
        prototype_taps: taps whose prototypes join in (`HSNetConfig`).
        self_support: the query makes prototypes too (`HSNetConfig`).
    """

    name: Literal["hsnet"]
    backbone: str
    first_tap: str
    weights: Path | None = None
    start: tuple[Path, ...] = ()
    loss: Literal["cross-entropy", "overlap"] = "cross-entropy"
    channels: tuple[int, int, int] = (16, 64, 128)
    prototype_taps: tuple[str, ...] = ()
    self_support: bool = False


class SaliencyModel(Section):
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


class ICNetModel(Section):
    """ICNet.

    Attributes:
        backbone: "vgg16", as published, or "lite0", ours.
        weights: a file of ImageNet weights; without one they come from where the backbone's do.
        start: a run of panet that reads the backbone as deep as ICNet does, or a saliency model, "saliency-lite0" or a
            run of it, whose backbone is taken over as it was trained there; or a run of icnet, all of which is taken.
        learn: modules of the backbone that learn; nothing means all, null none.
        compress: whether features are compressed before they are compared, as published; those of lite0 may be
            compared as they are (`likewise.models.icnet.ICNetConfig`).
    """

    name: Literal["icnet"]
    backbone: Literal["vgg16", "lite0"]
    weights: Path | None = None
    start: str | None = None
    learn: tuple[str, ...] | None = ()
    compress: bool = True

    @model_validator(mode="after")
    def _vgg16_is_as_published(self) -> ICNetModel:
        if self.backbone == "vgg16" and not self.compress:
            raise ValueError("features of vgg16 are compressed, as published: set model.compress=true")
        return self


class SceneModel(Section):
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
        detail: refine the logits by the first tap, of a finer stride (`likewise.models.blocks.scene_heads.Detail`).
        overlap: the weight of the last stage's `likewise.models.blocks.scene_heads.overlap_loss`, of the images that
            one process holds; the published losses do without.
    """

    backbone: str
    taps: tuple[str, ...] = ()
    weights: Path | None = None
    learn: tuple[str, ...] = ()
    norms: Literal["frozen", "learning"] = "frozen"
    channels: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    detail: bool = False
    overlap: float = Field(default=0.0, ge=0)


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
