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
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from likewise.engine.protocol import FeatureExtractor
from likewise.errors import (
    ArgumentError,
    ConceptError,
    ExampleError,
    ImageError,
    LikewiseError,
    ModelError,
    warn,
    warnings_about,
)
from likewise.io.images import Source, format_size, read_image
from likewise.io.prefetch import prefetch
from likewise.io.resize import LARGEST_SIDE
from likewise.predict.concept import Concept, concatenate, thumbnail
from likewise.predict.concept_schema import MOST_CLASSES
from likewise.predict.edges import refine_edges
from likewise.predict.examples import Example, mark
from likewise.predict.heads.open import open_head
from likewise.predict.heads.prototypes import PANetHead, PrototypesHead, features_of
from likewise.predict.presence import Judged
from likewise.predict.result import Result
from likewise.viz.draw import overlay
from likewise.weights import DEFAULT_MODEL, PRESENCE

SMALLEST_IMAGE = 16
"""Images with a shorter side, in pixels, are refused: they have no feature position of their own."""
BATCH = 8
"""Images in a batch on an accelerator, unless another number is given."""

Pixels = UInt8[np.ndarray, "_h _w 3"]


class FewShot:
    """Segments images by a few examples.

    Several threads may use one `FewShot`, and one `Segmenter`, at the same time: no call changes them.

    Args:
        model: "prototypes-lite0", the default, or "panet-lite0", both bundled; "prototypes" or "panet", the same
            methods on any backbone, without training; a folder of `likewise train`; a published network, "panet-vgg16",
            "panet-resnet50", "panet-resnet101", "hsnet-vgg16", "hsnet-resnet50", "hsnet-resnet101", with its authors'
            checkpoint; or a file of `likewise weights import`.
        backbone: of "prototypes" and "panet": "lite0", bundled, or any name that
            `likewise.backbones.specs.backbone_spec` takes.
        taps: of "prototypes" and "panet": where features are read. Defaults to the best measured taps for lite0, to the
            deepest level otherwise.
        weights: a file: ImageNet weights of the backbone of "prototypes" or "panet", or the checkpoint of a published
            network. For "prototypes" also a training run of PANet, whose backbone it takes.
        side: images are resized to about `side` x `side` pixels, keeping their aspect. Defaults to 320, or to 400 for
            an HSNet on another backbone than lite0.
        engine: "onnx" runs the bundled models by ONNX Runtime, without torch; "torch" runs every model; "auto" takes
            the first where it can. Concepts pass between engines.
        device: "auto", "cpu", a torch device such as "cuda:1", or for the ONNX engine "coreml", "directml" or
            "openvino". "auto" is the CPU for the ONNX engine, and for torch the first accelerator if there is one.
        precision: "float32", or "bfloat16" where the device computes in it (torch).
        edges: refine outlines to image edges (`likewise.predict.edges`).
        as_published: merge the shots of HSNet as its paper does, to compare with its numbers.
        world: a file of `likewise world`: what presence compares classes with, for models that bring none.
        presence: classes that are less likely than this to be in an image get an empty mask there. 0 marks the most
            similar region in every image. Models without a world mark it too.
        feature_cache: bytes of backbone features to keep, by image content, so that an image that comes again is not
            computed again (torch). 0 keeps none.

    Raises:
        ModelError: an unknown model, backbone, tap, engine, device or precision, or arguments that exclude each other.
        ArgumentError: a side out of range.
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
        engine: str = "auto",
        device: str = "auto",
        precision: str = "float32",
        edges: bool = True,
        as_published: bool = False,
        world: str | Path | None = None,
        presence: float = PRESENCE,
        feature_cache: int = 0,
    ) -> None:
        opened = open_head(
            str(model),
            backbone,
            tuple(map(str, taps)),
            weights,
            engine=engine,
            device=device,
            precision=precision,
            as_published=as_published,
            feature_cache=feature_cache,
            world=world,
        )
        self.head, self.model_name, self.trained_classes = opened.head, opened.name, opened.trained_classes
        self.engine, self.device, self.precision = opened.engine, opened.device, precision
        self.backbone_name, self.fingerprint = self.head.backbone, self.head.fingerprint
        self.world = opened.world
        self.edges, self.as_published = edges, as_published
        if not 0 <= presence <= 1:
            raise ArgumentError(f"presence is {presence}; it is a probability, 0 to 1")
        self.presence = presence if self.world else 0.0
        self.side = self.head.side if side is None else side
        if not self.head.smallest <= self.side <= LARGEST_SIDE:
            raise ArgumentError(f"side is {side} pixels; this backbone needs {self.head.smallest} to {LARGEST_SIDE}")

    def __repr__(self) -> str:
        return f"FewShot({self.model_name!r}, {self.backbone_name.partition('@')[0]!r}, side={self.side})"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the probabilities before outlines are refined, for the records of a run."""
        return {
            "model": self.model_name,
            "backbone": self.backbone_name,
            "weights": self.fingerprint,
            "side": self.side,
            "precision": self.precision,
            "world": self.world,
            "presence": self.presence,
        }

    def learn(self, examples: Example | Iterable[Example], *, strict: bool = True) -> Concept:
        """Encode examples into a concept.

        Warns, with the name of the example, about an object too small for a level of the features.

        Args:
            strict: an example of several that cannot be read, or has no object, raises; otherwise it is left out with a
                warning, unless its class then has no example.

        Raises:
            ImageError: a file that cannot be read, or a mask of another size than its image.
            ExampleError: no examples, an example without any object pixel, one that is not marked exactly once, or one
                that is given both as positive and as negative.
            ArgumentError: more than 254 classes.
        """
        examples = [examples] if isinstance(examples, Example) else list(examples)
        _refuse_contradictions(examples)
        if wrong := next((each for each in examples if not isinstance(each, Example)), None):
            raise TypeError(f"{wrong!r} is not an Example; write Example(image, mask=...), or with a box or scribbles")
        if not examples:
            raise ExampleError("no examples: give at least one image with a mask, a box or scribbles")
        classes = tuple(dict.fromkeys(example.class_name for example in examples))
        if len(classes) > MOST_CLASSES:
            raise ArgumentError(f"{len(classes)} classes; labels are 8-bit, so {MOST_CLASSES} is the most")
        rows, thumbnails, left_out = [], [], []
        for example in examples:
            try:
                with warnings_about(example.name):
                    image, foreground, background = mark(example)
                    row = self.head.learn(self._resize(image), foreground, background, absent=example.absent)
            except LikewiseError as error:
                left_out.append(example)
                if strict or {each.class_name for each in examples if each not in left_out} != set(classes):
                    raise
                warn(f"{example.name} is left out: {str(error).removeprefix(f'{example.name}: ')}")
                continue
            rows.append(row)
            thumbnails.append(thumbnail(overlay(image, foreground.astype(np.uint8))))
        examples = [example for example in examples if example not in left_out]
        return Concept(
            model=self.model_name,
            backbone=self.backbone_name,
            fingerprint=self.fingerprint,
            side=self.side,
            classes=classes,
            class_of=tuple(classes.index(example.class_name) for example in examples),
            names=tuple(Path(example.name).name for example in examples),
            rows=concatenate(rows),
            thumbnails=np.stack(thumbnails),
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
        shown = {own for position, own in enumerate(concept.class_of) if not concept.is_negative(position)}
        if lacking := [name for index, name in enumerate(concept.classes) if index not in shown]:
            raise ConceptError(
                f"class {lacking[0]!r} has only negatives; add an example that shows it"
                + (f" (the examples show {', '.join(concept.classes[index] for index in shown)})" if shown else "")
            )

    @property
    def extractor(self) -> FeatureExtractor:
        """The backbone.

        Raises:
            ModelError: a method that does not compare features with a world.
        """
        if not isinstance(self.head, PrototypesHead | PANetHead):
            raise ModelError(f"{self.model_name} does not judge presence; prototypes and PANet do")
        return self.head.extractor

    def features(self, image: Source) -> Float32[np.ndarray, "c h w"]:
        """The features of an image that prototypes are compared with: all taps, at the size of the first.

        Raises:
            ImageError: an image that cannot be read.
            ModelError: see `extractor`.
        """
        return features_of(self.extractor, self._resize(read_image(image))[None])[0][0]

    def semantic_map(self, image: Source) -> Float32[np.ndarray, "c h w"]:
        """The features of an image that presence is judged by (`likewise.ops.presence`).

        Raises:
            ImageError: an image that cannot be read.
            ModelError: see `extractor`.
        """
        return self.extractor.features(self._resize(read_image(image))[None]).semantic[0]

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to which an image is resized: about `side` squared, a multiple of the head's stride.

        The short side of a strip is at least the head's smallest, and its long side then shrinks to keep the area.
        """
        scale, multiple, smallest = self.side / (height * width) ** 0.5, self.head.multiple, self.head.smallest
        longest = max(smallest, self.side**2 // smallest // multiple * multiple)
        resized = [
            min(longest, max(smallest, round(length * scale / multiple) * multiple)) for length in (height, width)
        ]
        return resized[0], resized[1]

    def _resize(self, image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_IMAGE:
            raise ImageError(
                f"the image is {format_size(height, width)}; at least {SMALLEST_IMAGE} pixels a side are needed"
            )
        height, width = self.input_size(height, width)
        return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


class Segmenter:
    """Segments images by one concept; made by `FewShot.prepare`. Several threads may use one segmenter.

    Attributes:
        concept: what it looks for.
    """

    def __init__(self, few_shot: FewShot, concept: Concept) -> None:
        few_shot.check(concept)
        self.few_shot, self.concept = few_shot, concept
        self._prepared = few_shot.head.prepare(concept)

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
            batch_size = 1 if self.few_shot.device == "cpu" else BATCH
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

    def _segment(self, read: Sequence[tuple[Pixels, Pixels]]) -> list[Result]:
        """The results of some images; those with inputs of one size share a pass through the network."""
        results: dict[int, Result] = {}
        for shape in dict.fromkeys(resized.shape for _, resized in read):
            batch = [index for index, (_, resized) in enumerate(read) if resized.shape == shape]
            images = np.stack([read[index][1] for index in batch])
            sizes = [(read[index][0].shape[0], read[index][0].shape[1]) for index in batch]
            found = self.few_shot.head.segment(images, self._prepared, sizes, self.few_shot.presence)
            for index, (probabilities, judged) in zip(batch, found, strict=True):
                pixels = read[index][0]
                empty = judged is not None and all(one.presence < self.few_shot.presence for one in judged)
                if self.few_shot.edges and not empty:
                    probabilities = refine_edges(probabilities, pixels)
                results[index] = to_result(probabilities, self.concept.classes, pixels, judged)
        return [results[index] for index in range(len(read))]


def _refuse_contradictions(examples: Sequence[Example]) -> None:
    """Raise an `ExampleError` for an image that both shows a class and, as a whole, does not."""
    marks = ("mask", "box", "scribbles")
    positive = {(str(one.image), one.class_name) for one in examples if isinstance(one, Example) and not one.absent}
    for one in examples:
        whole = isinstance(one, Example) and one.absent and all(getattr(one, name) is None for name in marks)
        if whole and isinstance(one.image, str | Path) and (str(one.image), one.class_name) in positive:
            raise ExampleError(
                f"{one.name}: given both as an example of {one.class_name!r} and as an image without it; give it once, "
                "or mark the region that is not the object"
            )


def to_result(
    probabilities: Float32[np.ndarray, "k h w"],
    classes: tuple[str, ...],
    image: Pixels,
    judged: tuple[Judged, ...] | None = None,
) -> Result:
    """Return the result for probabilities of the background and of each class, and what is known of their presence."""
    labels = np.zeros(probabilities.shape[1:], np.uint8)
    highest = probabilities[0].copy()
    for index, own in enumerate(probabilities[1:], start=1):  # faster than argmax over few planes
        labels[own > highest] = index
        np.maximum(highest, own, out=highest)
    means = []
    for index in range(1, len(classes) + 1):
        won = probabilities[index][labels == index]
        means.append(float(won.mean()) if len(won) else 0.0)
    ious = means
    if judged:
        ious = [one.expected_iou(mean) if mean else 0.0 for one, mean in zip(judged, means, strict=True)]
    return Result(
        mask=labels > 0,
        probability=(1 - probabilities[0]).clip(0, 1),
        labels=labels,
        classes=classes,
        presences=tuple(one.presence for one in judged) if judged else None,
        expected_ious=tuple(ious),
        image=image,
    )
