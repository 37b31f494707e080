"""Few-shot segmentation: examples in, masks at the size of each image out.

few_shot = FewShot()
concept = few_shot.learn(Example("cat.jpg", mask="cat.png"))
segmenter = few_shot.prepare(concept)
segmenter("another.jpg").mask
for result in segmenter.stream(paths): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from likewise.backbones.specs import BACKBONES
from likewise.errors import ArgumentError, ExampleError, ImageError, warnings_about
from likewise.io.images import Source, format_size, read_image
from likewise.io.prefetch import prefetch
from likewise.predict.concept import Concept, concatenate, thumbnail
from likewise.predict.devices import torch_device, torch_precision
from likewise.predict.edges import refine_edges
from likewise.predict.examples import Example, mark
from likewise.predict.feature_cache import CachedBackbone
from likewise.predict.heads import head_for
from likewise.predict.ready import made_ready
from likewise.predict.result import Result
from likewise.viz.draw import overlay
from likewise.weights import DEFAULT_MODEL
from likewise.weights.checkpoint import fingerprint
from likewise.weights.load import FEW_SHOT, open_model

LARGEST_SIDE = 4096
"""The largest `side` in pixels."""
SMALLEST_IMAGE = 16
"""Images with a shorter side, in pixels, are refused: they have no feature position of their own."""
MOST_CLASSES = 254
"""Labels are 8-bit, 0 is background and 255 means ignored."""
BATCH = 8
"""Images in a batch on an accelerator, unless another number is given."""

Pixels = UInt8[np.ndarray, "_h _w 3"]


class FewShot:
    """Segments images by a few examples.

    Several threads may use one `FewShot`, and one `Segmenter`, at the same time: no call changes them.

    Batch norm of the named backbones (`likewise.backbones.specs.BACKBONES`) is folded into their convolutions.

    Args:
        model: "hsnet-lite0", the default, or "panet-lite0", both bundled; "panet", PANet without training, on any
            backbone; a folder of `likewise train`; a published network, "panet-vgg16", "panet-resnet50",
            "panet-resnet101", "hsnet-vgg16", "hsnet-resnet50", "hsnet-resnet101", with its authors' checkpoint; or a
            file of `likewise weights import`.
        backbone: of "panet": "lite0", bundled, or any name that `likewise.backbones.specs.backbone_spec` takes.
        taps: of "panet": where features are read. Defaults to the best measured taps for lite0, to the deepest level
            otherwise.
        weights: a file: ImageNet weights of the backbone of "panet", or the checkpoint of a published network.
        side: images are resized to about `side` x `side` pixels, keeping their aspect. Defaults to 320, or to 400 for
            an HSNet on another backbone than lite0.
        device: "auto" takes the first accelerator if there is one, else the CPU; or a torch device such as "cuda:1".
        precision: "float32", or "bfloat16" where the device computes in it.
        edges: refine outlines to image edges (`likewise.predict.edges`).
        as_published: merge shots as the model's paper does (`likewise.predict.heads.HSNetHead`), to compare with its
            numbers.
        feature_cache: bytes of backbone features to keep, by image content, so that an image that comes again is not
            computed again. 0 keeps none.

    Raises:
        ModelError: an unknown model, backbone, tap, device or precision.
        ArgumentError: a side out of range, or arguments that exclude each other.
        WeightsError: weights that cannot be found or do not fit.
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
        as_published: bool = False,
        feature_cache: int = 0,
    ) -> None:
        self.edges, self.as_published = edges, as_published
        self.device = torch_device(device)
        self.precision, self.dtype = precision, torch_precision(precision, self.device)
        opened = open_model(model, FEW_SHOT, weights=weights, backbone=backbone, taps=tuple(map(str, taps)))
        self.model_name, self.trained_classes = opened.name, opened.trained_classes
        self.network = opened.network
        self.fingerprint = fingerprint(self.network)
        spec = self.network.backbone.spec
        self.backbone_name = f"{spec.name}@{'+'.join(tap.module for tap in spec.taps)}"
        made_ready(self.network, self.device, self.dtype, fold=spec.name in BACKBONES)
        if feature_cache:
            self.network.backbone = CachedBackbone(self.network.backbone, feature_cache)
        self.head = head_for(self.network, authors=opened.authors, as_published=as_published)
        self.side = self.head.side if side is None else side
        if not self.head.smallest <= self.side <= LARGEST_SIDE:
            raise ArgumentError(f"side is {side} pixels; this backbone needs {self.head.smallest} to {LARGEST_SIDE}")

    def __repr__(self) -> str:
        return f"FewShot({self.model_name!r}, {self.backbone_name.partition('@')[0]!r}, side={self.side})"

    @torch.inference_mode()
    def learn(self, examples: Example | Iterable[Example]) -> Concept:
        """Encode examples into a concept.

        Warns, with the name of the example, about an object too small for a level of the features.

        Raises:
            ImageError: a file that cannot be read, or a mask of another size than its image.
            ExampleError: no examples, an example without any object pixel, or one that is not marked exactly once.
            ArgumentError: more than 254 classes.
        """
        examples = [examples] if isinstance(examples, Example) else list(examples)
        if not examples:
            raise ExampleError("no examples: give at least one image with a mask, a box or scribbles")
        classes = tuple(dict.fromkeys(example.class_name for example in examples))
        if len(classes) > MOST_CLASSES:
            raise ArgumentError(f"{len(classes)} classes; labels are 8-bit, so {MOST_CLASSES} is the most")
        rows, thumbnails = [], []
        for example in examples:
            with warnings_about(example.name):
                image, foreground, background = mark(example)
                images = self.network_input(image)
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
            rows=concatenate(rows),
            thumbnails=torch.stack(thumbnails),
        )

    def prepare(self, concept: Concept) -> Segmenter:
        """A segmenter for the concept: prepare once, then segment any number of images.

        Raises:
            ConceptError: a concept learned with another model, backbone, weights or side, or a damaged one.
        """
        return Segmenter(self, concept)

    def segment(self, image: Source, concept: Concept) -> Result:
        """The masks of the concept's classes in one image: short for `prepare(concept)(image)`.

        Raises:
            ImageError: an image that cannot be read.
            ConceptError: see `prepare`.
        """
        return self.prepare(concept)(image)

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept was learned with this model, backbone, weights and side."""
        concept.check(self.model_name, self.backbone_name, self.fingerprint, self.side)
        self.head.check(concept)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to which an image is resized: about `side` squared, a multiple of the head's stride."""
        scale, multiple, smallest = self.side / (height * width) ** 0.5, self.head.multiple, self.head.smallest
        resized = [max(smallest, round(length * scale / multiple) * multiple) for length in (height, width)]
        return resized[0], resized[1]

    def network_input(self, image: Pixels) -> Float[Tensor, "1 3 hi wi"]:
        """The image resized and normalised for the network."""
        return self._normalise([self._resize(image)])

    def _resize(self, image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_IMAGE:
            raise ImageError(
                f"the image is {format_size(height, width)}; at least {SMALLEST_IMAGE} pixels a side are needed"
            )
        height, width = self.input_size(height, width)
        return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))

    def _normalise(self, images: Sequence[Pixels]) -> Float[Tensor, "b 3 h w"]:
        pixels = torch.from_numpy(np.stack(images)).to(self.device)
        return self.network.backbone.normalise(pixels).to(self.dtype)

    def _plane(self, mask: Bool[np.ndarray, "h w"]) -> Bool[Tensor, "1 h w"]:
        return torch.from_numpy(mask)[None].to(self.device)


class Segmenter:
    """Segments images by one concept; made by `FewShot.prepare`. Several threads may use one segmenter.

    Attributes:
        concept: what it looks for.
    """

    @torch.inference_mode()
    def __init__(self, few_shot: FewShot, concept: Concept) -> None:
        few_shot.check(concept)
        self.few_shot, self.concept = few_shot, concept
        self._prepared = few_shot.head.prepare(concept, few_shot.device)

    def __repr__(self) -> str:
        return f"<segmenter of {self.concept}>"

    def __call__(self, image: Source) -> Result:
        """The masks of the concept's classes in the image, at its own size.

        Raises:
            ImageError: an image that cannot be read.
        """
        return self._segment([self._read(image)])[0]

    def stream(self, images: Iterable[Source], batch_size: int | None = None) -> Iterator[Result]:
        """The result of each image, in order, for any number of images; the next images are read meanwhile.

        Args:
            images: anything that can be iterated over, a generator too.
            batch_size: images that go through the network together, of those that share an input size. Defaults to 8
                on an accelerator and to 1 on the CPU. Batches round differently, by about 1e-6 of a probability.

        Raises:
            ArgumentError: a batch size below 1, or a single path.
            ImageError: an image that cannot be read, at its turn; the iterator then ends.
        """
        if isinstance(images, str | Path):
            raise ArgumentError(f"stream takes several images; call the segmenter with {str(images)!r} alone")
        if batch_size is None:
            batch_size = 1 if self.few_shot.device.type == "cpu" else BATCH
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; it is 1 or more")
        return self._stream(prefetch(images, self._read, ahead=2 * batch_size + 2), batch_size)

    def _stream(
        self, reading: Iterator[tuple[Source, Future[tuple[Pixels, Pixels]]]], batch_size: int
    ) -> Iterator[Result]:
        while window := list(islice(reading, batch_size)):
            read, failed = [], None
            for _, future in window:
                if failed := future.exception():
                    break
                read.append(future.result())
            yield from self._segment(read)
            if failed:
                raise failed

    def _read(self, image: Source) -> tuple[Pixels, Pixels]:
        """The image, and the image at the size of the network's input."""
        pixels = read_image(image)
        return pixels, self.few_shot._resize(pixels)

    @torch.inference_mode()
    def _segment(self, read: Sequence[tuple[Pixels, Pixels]]) -> list[Result]:
        """The results of some images; those with inputs of one size share a pass through the network."""
        results: dict[int, Result] = {}
        for shape in dict.fromkeys(resized.shape for _, resized in read):
            batch = [index for index, (_, resized) in enumerate(read) if resized.shape == shape]
            images = self.few_shot._normalise([read[index][1] for index in batch])
            sizes = [(read[index][0].shape[0], read[index][0].shape[1]) for index in batch]
            found = self.few_shot.head.segment(images, self._prepared, sizes)
            for index, probabilities in zip(batch, found, strict=True):
                pixels = read[index][0]
                if self.few_shot.edges:
                    probabilities = refine_edges(probabilities, pixels)
                results[index] = to_result(probabilities, self.concept.classes, pixels)
        return [results[index] for index in range(len(read))]


def to_result(probabilities: Float[Tensor, "k h w"], classes: tuple[str, ...], image: Pixels) -> Result:
    """The result for probabilities of the background and of each class."""
    labels = torch.zeros(probabilities.shape[1:], dtype=torch.uint8, device=probabilities.device)
    highest = probabilities[0]
    for index, own in enumerate(probabilities[1:], start=1):  # much faster than argmax over few planes
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
        image=image,
    )
