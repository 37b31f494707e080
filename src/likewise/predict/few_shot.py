"""Pictures in, masks at the picture's own size out.

few_shot = FewShot()
concept = few_shot.learn([Example("cat.jpg", mask="cat.png")])   # the expensive part, once
result = few_shot.segment("another.jpg", concept)
result.mask, result.probability, result.score
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image
from torch import Tensor

from likewise.backbones import backbone_spec
from likewise.concept import Concept, thumbnail
from likewise.draw import overlay
from likewise.examples import Example, mark
from likewise.images import Source, read_picture, shown_size
from likewise.models.panet import PANet
from likewise.weights import BUNDLED, CHECKPOINTS, fingerprint, load_backbone, load_checkpoint, load_trained

DEFAULT_SIDE = 320
DEFAULT_TAPS: dict[str, tuple[str, ...]] = {"lite0": ("blocks.4.2", "blocks.5.3", "blocks.6.0")}
"""The best on base classes for three of PASCAL-5i's four folds, and close to it on the fourth (docs/results.md)."""

LARGEST_SIDE = 4096
SMALLEST = 16
"""Pictures with a side under so many pixels are refused: not one position of the features would be their own."""


@dataclass(frozen=True)
class Result:
    """The answer for one picture, at the picture's own size.

    Attributes:
        mask: where any of the classes is.
        probability: of any of the classes, in [0, 1].
        labels: 0 for background, i + 1 for `classes[i]`.
        classes: the names of the concept's classes.
        scores: for each class, the mean probability over the pixels labelled so; 0 where there are none.
    """

    mask: Bool[np.ndarray, "h w"]
    probability: Float32[np.ndarray, "h w"]
    labels: UInt8[np.ndarray, "h w"]
    classes: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def score(self) -> float:
        """The highest of the scores, in [0, 1]."""
        return max(self.scores)


class FewShot:
    """Segments what a few examples show.

    Args:
        model: "panet-lite0", bundled, trained by us; "panet", the same without training, on any backbone; a folder of
            `likewise train`; or a published network, "panet-vgg16", "panet-resnet50", "panet-resnet101", with its
            authors' checkpoint.
        backbone: of "panet": "lite0", bundled, or any name `likewise.backbones.backbone_spec` knows.
        taps: of "panet": where features are read; the best measured for lite0, the deepest level otherwise.
        weights: a file: ImageNet weights of the backbone of "panet", or the checkpoint of a published network.
        side: pictures are brought to about `side` x `side` pixels, keeping their aspect.
        device: "auto" takes the first accelerator there is, else the CPU; or a torch device such as "cuda:1".

    Raises:
        ValueError: an unknown model, backbone, tap or device; the message says which there are.
        WeightsError: weights that cannot be had or do not fit.
    """

    def __init__(
        self,
        model: str = "panet-lite0",
        backbone: str = "lite0",
        *,
        taps: Sequence[str | int] = (),
        weights: str | Path | None = None,
        side: int | None = None,
        device: str = "auto",
    ) -> None:
        self.device = _device(device)
        network: Any
        self.trained_classes: tuple[str, ...] = ()
        trained = BUNDLED / f"{model}.safetensors" if model == "panet-lite0" else Path(model)
        if model in CHECKPOINTS:
            if weights is None:
                raise ValueError(
                    f"{model} is a published network: pass its authors' checkpoint with weights=... (--weights FILE), "
                    "or take model='panet-lite0', which needs none"
                )
            network = load_checkpoint(model, weights)
        elif model == "panet":
            spec = backbone_spec(backbone, taps=tuple(map(str, taps)) or DEFAULT_TAPS.get(backbone, ()))
            network = PANet(load_backbone(spec, weights=weights))
        elif trained.exists():
            if (backbone, *taps, weights) != ("lite0", None):
                raise ValueError(
                    f"{model} is trained on a backbone of its own; for another backbone, taps or weights take "
                    "model='panet' (--model panet)"
                )
            network, self.trained_classes = load_trained(trained)
        else:
            names = ", ".join(("panet-lite0", "panet", *CHECKPOINTS))
            raise ValueError(f"no model is called {model!r}; there are {names}, and the folders of training runs")
        self.model_name = model
        self.network = network.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        taps_used = self.network.backbone.taps
        self.backbone_name = f"{self.network.backbone.spec.name}@{'+'.join(tap.module for tap in taps_used)}"
        self.multiple = max(tap.stride for tap in taps_used)
        self.side = DEFAULT_SIDE if side is None else side
        if not self.multiple <= self.side <= LARGEST_SIDE:
            raise ValueError(f"side is {side} pixels; this backbone needs {self.multiple} to {LARGEST_SIDE}")
        self.fingerprint = fingerprint(self.network)

    @torch.inference_mode()
    def learn(self, examples: Example | Iterable[Example]) -> Concept:
        """What the model needs to know of the examples: their features pooled under their masks.

        Raises:
            PictureError: an example's file that cannot be read, or a mask of another size than its picture.
            ValueError: no examples, an example without any object pixel, or one given in no or several ways.
        """
        examples = [examples] if isinstance(examples, Example) else list(examples)
        if not examples:
            raise ValueError("no examples: give at least one picture with a mask, a box or scribbles")
        classes = tuple(dict.fromkeys(example.class_name for example in examples))
        if len(classes) > 254:
            raise ValueError(f"{len(classes)} classes; labels are 8-bit and 255 is reserved, so 254 is the most")
        fore, back, thumbnails = [], [], []
        for example in examples:
            picture, foreground, background = mark(example)
            features = self._features(picture)
            fore.append(self.network.pool(features, _plane(foreground, features))[0])
            back.append(self.network.pool(features, _plane(background, features))[0])
            thumbnails.append(thumbnail(overlay(picture, foreground.astype(np.uint8))))
        return Concept(
            model=self.model_name,
            backbone=self.backbone_name,
            fingerprint=self.fingerprint,
            side=self.side,
            classes=classes,
            class_of=tuple(classes.index(example.class_name) for example in examples),
            names=tuple(Path(example.name).name for example in examples),
            rows={"foreground": torch.stack(fore).cpu(), "background": torch.stack(back).cpu()},
            thumbnails=torch.stack(thumbnails),
        )

    @torch.inference_mode()
    def segment(self, picture: Source, concept: Concept) -> Result:
        """Where the concept's classes are in the picture.

        Raises:
            PictureError: a file that cannot be read.
            ConceptError: a concept learned with another model, backbone, weights or side.
        """
        self.check(concept)
        pixels = read_picture(picture)
        logits = self.network.relate(self._features(pixels), prototypes_of(concept).to(self.device))
        probabilities = self.network.decode(logits, (pixels.shape[0], pixels.shape[1])).softmax(dim=1)[0]
        return _result(probabilities, concept.classes)

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept was learned by exactly this model."""
        concept.check(self.model_name, self.backbone_name, self.fingerprint, self.side)

    def _features(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 c hf wf"]:
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST:
            raise ValueError(
                f"the picture is {shown_size(height, width)}; at least {SMALLEST} pixels a side are needed"
            )
        height, width = self.input_size(height, width)
        brought = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(brought))[None].to(self.device)
        return self.network.features(self.network.backbone.normalise(pixels))

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which a picture is brought: whole strides, about `side` squared in all."""
        scale = self.side / (height * width) ** 0.5
        strides = [max(1, round(length * scale / self.multiple)) for length in (height, width)]
        return strides[0] * self.multiple, strides[1] * self.multiple


def prototypes_of(concept: Concept) -> Float[Tensor, "1 k c"]:
    """The background's prototype, averaged over classes and shots, then one of each class (PANet, section 3.2)."""
    ways = [concept.of_class(index) for index in range(len(concept.classes))]
    rest = torch.stack([way["background"].float().mean(dim=0) for way in ways]).mean(dim=0)
    return torch.stack([rest, *(way["foreground"].float().mean(dim=0) for way in ways)])[None]


def _plane(mask: Bool[np.ndarray, "h w"], like: Tensor) -> Float[Tensor, "1 h w"]:
    return torch.from_numpy(mask)[None].to(like.device, like.dtype)


def _result(probabilities: Float[Tensor, "classes h w"], classes: tuple[str, ...]) -> Result:
    labels = torch.zeros(probabilities.shape[1:], dtype=torch.uint8, device=probabilities.device)
    highest = probabilities[0]
    for index, own in enumerate(probabilities[1:], start=1):  # many times quicker than argmax over few planes
        labels[own > highest] = index
        highest = torch.maximum(own, highest)
    scores = []
    for index in range(1, len(classes) + 1):
        won = probabilities[index][labels == index]
        scores.append(won.mean().item() if len(won) else 0.0)
    return Result(
        mask=(labels > 0).cpu().numpy(),
        probability=(1 - probabilities[0]).clamp(0, 1).cpu().numpy(),
        labels=labels.cpu().numpy(),
        classes=classes,
        scores=tuple(scores),
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used here ({error}); 'auto' and 'cpu' always can") from error
    return device
