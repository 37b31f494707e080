"""Images in, masks at the image's own size out.

few_shot = FewShot()
concept = few_shot.learn([Example("cat.jpg", mask="cat.png")])   # the expensive part, once
result = few_shot.segment("another.jpg", concept)
result.mask, result.probability, result.score
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image
from torch import Tensor

from likewise.backbones.specs import BACKBONES
from likewise.io.images import Source, format_size, read_image
from likewise.predict import DEFAULT_MODEL
from likewise.predict.concept import Concept, joined, thumbnail
from likewise.predict.devices import torch_device, torch_precision
from likewise.predict.edges import along_edges
from likewise.predict.examples import Example, mark
from likewise.predict.heads import head_of
from likewise.predict.ready import made_ready
from likewise.viz.draw import overlay
from likewise.weights.checkpoint import fingerprint
from likewise.weights.few_shot import open_network

LARGEST_SIDE = 4096
SMALLEST = 16
"""Images with a side under so many pixels are refused: not one position of the features would be their own."""


@dataclass(frozen=True)
class Result:
    """The answer for one image, at the image's own size.

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

    Several shots of a class are joined, and several classes compete, as the model's head says
    (`likewise.predict.heads`). Batch norm of our own backbones is folded into their convolutions.

    Args:
        model: "hsnet-lite0", the default, or "panet-lite0", bundled, trained by us; "panet", PANet without training, on
            any backbone; a folder of `likewise train`; a published network, "panet-vgg16", "panet-resnet50",
            "panet-resnet101", "hsnet-vgg16", "hsnet-resnet50", "hsnet-resnet101", with its authors' checkpoint; or a
            file of `likewise weights import`.
        backbone: of "panet": "lite0", bundled, or any name `likewise.backbones.specs.backbone_spec` knows.
        taps: of "panet": where features are read; the best measured for lite0, the deepest level otherwise.
        weights: a file: ImageNet weights of the backbone of "panet", or the checkpoint of a published network.
        side: images are brought to about `side` x `side` pixels, keeping their aspect; 320 unless given, and 400
            for an HSNet on another backbone than lite0.
        device: "auto" takes the first accelerator there is, else the CPU; or a torch device such as "cuda:1".
        precision: "float32", or "bfloat16" where the device computes in it.
        edges: let outlines follow the image's edges (`likewise.predict.edges`); without, what the model says.

    Raises:
        ValueError: an unknown model, backbone, tap, device or precision; the message says which there are.
        WeightsError: weights that cannot be had or do not fit.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        backbone: str = "lite0",
        *,
        taps: Sequence[str | int] = (),
        weights: str | Path | None = None,
        side: int | None = None,
        device: str = "auto",
        precision: str = "float32",
        edges: bool = True,
    ) -> None:
        self.edges = edges
        self.device = torch_device(device)
        self.precision, self.dtype = precision, torch_precision(precision, self.device)
        opened = open_network(model, backbone, tuple(map(str, taps)), weights)
        self.model_name, self.trained_classes = opened.name, opened.trained_classes
        self.network = opened.network
        self.fingerprint = fingerprint(self.network)
        spec = self.network.backbone.spec
        self.backbone_name = f"{spec.name}@{'+'.join(tap.module for tap in spec.taps)}"
        made_ready(self.network, self.device, self.dtype, fold=spec.name in BACKBONES)
        self.head = head_of(self.network, published=opened.published)
        self.side = self.head.side if side is None else side
        if not self.head.smallest <= self.side <= LARGEST_SIDE:
            raise ValueError(f"side is {side} pixels; this backbone needs {self.head.smallest} to {LARGEST_SIDE}")
        self._prepared: tuple[Concept, Any] | None = None

    @torch.inference_mode()
    def learn(self, examples: Example | Iterable[Example]) -> Concept:
        """What the model needs to know of the examples: for PANet mean features, for HSNet those under the mask.

        Warns, naming the example, where its object is too small for a level of the features.

        Raises:
            ImageError: an example's file that cannot be read, or a mask of another size than its image.
            ValueError: no examples, an example without any object pixel, or one given in no or several ways.
        """
        examples = [examples] if isinstance(examples, Example) else list(examples)
        if not examples:
            raise ValueError("no examples: give at least one image with a mask, a box or scribbles")
        classes = tuple(dict.fromkeys(example.class_name for example in examples))
        if len(classes) > 254:
            raise ValueError(f"{len(classes)} classes; labels are 8-bit and 255 is reserved, so 254 is the most")
        rows, thumbnails = [], []
        for example in examples:
            image, foreground, background = mark(example)
            images = self._images(image)
            with _warnings_name(example):
                rows.append(self.head.learn(images, self._plane(foreground), self._plane(background)))
            thumbnails.append(thumbnail(overlay(image, foreground.astype(np.uint8))))
        return Concept(
            model=self.model_name,
            backbone=self.backbone_name,
            fingerprint=self.fingerprint,
            side=self.side,
            classes=classes,
            class_of=tuple(classes.index(example.class_name) for example in examples),
            names=tuple(Path(example.name).name for example in examples),
            rows=joined(rows),
            thumbnails=torch.stack(thumbnails),
        )

    @torch.inference_mode()
    def segment(self, image: Source, concept: Concept) -> Result:
        """Where the concept's classes are in the image.

        Raises:
            ImageError: a file that cannot be read.
            ConceptError: a concept learned with another model, backbone, weights or side.
        """
        self.check(concept)
        pixels = read_image(image)
        images = self._images(pixels)
        if self._prepared is None or self._prepared[0] is not concept:
            self._prepared = concept, self.head.prepare(concept, self.device)
        probabilities = self.head.segment(images, self._prepared[1], (pixels.shape[0], pixels.shape[1]))
        return _result(along_edges(probabilities, pixels) if self.edges else probabilities, concept.classes)

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept was learned by exactly this model."""
        concept.check(self.model_name, self.backbone_name, self.fingerprint, self.side)
        self.head.check(concept)

    def _images(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 hi wi"]:
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST:
            raise ValueError(f"the image is {format_size(height, width)}; at least {SMALLEST} pixels a side are needed")
        height, width = self.input_size(height, width)
        brought = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(brought))[None].to(self.device)
        return self.network.backbone.normalise(pixels).to(self.dtype)

    def _plane(self, mask: Bool[np.ndarray, "h w"]) -> Bool[Tensor, "1 h w"]:
        return torch.from_numpy(mask)[None].to(self.device)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width to which an image is brought: whole strides, about `side` squared in all."""
        scale, multiple, smallest = self.side / (height * width) ** 0.5, self.head.multiple, self.head.smallest
        brought = [max(smallest, round(length * scale / multiple) * multiple) for length in (height, width)]
        return brought[0], brought[1]


@contextmanager
def _warnings_name(example: Example) -> Iterator[None]:
    """Warnings of what is done within begin with the example's name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for told in caught:
        warnings.warn(f"{example.name}: {told.message}", told.category, stacklevel=4)


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
