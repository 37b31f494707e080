"""Masks of one concept in any number of images."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from likewise.engine.protocol import Features
from likewise.engine.threads import one_blas_thread
from likewise.errors import ArgumentError, ImageError, ModelError, warn
from likewise.io.images import ScaledImage, Source, read_scaled
from likewise.io.prefetch import prefetch
from likewise.predict.concept import Concept
from likewise.predict.edges import LARGEST, refine_edges
from likewise.predict.heads.features import FeatureHead, features_of
from likewise.predict.heads.protocol import Found, Head
from likewise.predict.inputs import Inputs, Pixels
from likewise.predict.presence import Look, are_present
from likewise.predict.result import Result, to_result

FEWEST = 6
"""Images from which presence is fitted; experiments/18-presence fitted it to no fewer."""
MOST = 1000
"""Images that presence is fitted to at most; each takes 64 KB."""
BATCH = 8
"""Images in a batch on an accelerator, unless another number is given."""


class Segmenter:
    """Segments images by one concept; made by `FewShot.prepare`. Several threads may use one segmenter.

    Attributes:
        concept: what it looks for.
        presence: of each class, the presence below which its mask is empty: that of `FewShot`, or of `fit_presence`.
    """

    def __init__(
        self,
        concept: Concept,
        head: Head,
        inputs: Inputs,
        finer: Inputs | None,
        *,
        presence: float,
        edges: bool,
        batched: bool,
    ) -> None:
        self.concept, self.presence = concept, (presence,) * len(concept.classes)
        self._head, self._inputs, self._finer, self._edges = head, inputs, finer, edges
        self._batch = BATCH if batched else 1
        self._prepared = head.prepare(concept)

    def __repr__(self) -> str:
        return f"<segmenter of {self.concept}>"

    def __call__(self, image: Source | ScaledImage) -> Result:
        """The masks of the concept's classes in the image, at its own size.

        Raises:
            ImageError: an image that cannot be read.
        """
        return self._segment([self._read(image)])[0]

    @one_blas_thread()
    def probabilities(self, image: Source | ScaledImage) -> Found:
        """The probabilities of background and classes, with refined outlines, and what is known of the classes.

        Their size is that of the image, with its short side reduced to `likewise.predict.edges.LARGEST`.

        Raises:
            ImageError: an image that cannot be read.
        """
        ((_, found),) = self._find([self._read(image)])
        return found

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
            batch_size = self._batch
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; it is 1 or more")
        return self._stream(prefetch(images, self._read, ahead=2 * batch_size + 2), batch_size)

    def fit_presence(self, images: Iterable[Source]) -> Segmenter:
        """A segmenter that judges presence as suits these images, such as those of a folder.

        One example says little of how a class varies, and its presence is often too high, or too low, for all images of
        a folder. From `FEWEST` images on, the surest ones join one or two examples where presence is judged, and each
        class's threshold is moved to where it parts the images best (`likewise.predict.presence.Judge.fitted`); from
        fewer, nothing changes. Images that cannot be read do not count. Of more than `MOST` images, an equally spaced
        part is seen; otherwise their order does not matter.

        Raises:
            ArgumentError: a single path; or every class counts as present, since the presence is 0, or since the model
                does not judge it.
        """
        if isinstance(images, str | Path):
            raise ArgumentError(f"fit_presence takes several images, not {str(images)!r} alone")
        head = self._head
        if not min(self.presence) or not isinstance(head, FeatureHead):
            raise ArgumentError(
                "presence cannot be fitted where every image is marked: by a presence of 0, or by a model that does "
                "not judge presence"
            )
        given = list(images)
        places = np.linspace(0, len(given) - 1, min(MOST, len(given))).round().astype(int)
        looks = []
        for _, reading in prefetch((given[place] for place in places), self._read, ahead=4):
            with contextlib.suppress(ImageError):
                _, resized = reading.result()
                with one_blas_thread():
                    features, odds = head.look(head.encode(resized[None])[0], self._prepared)
                looks.append(Look(features.astype(np.float16), odds.astype(np.float16)))
        fitted = copy.copy(self)
        if len(looks) < FEWEST:
            warn(f"presence is fitted to {FEWEST} images or more, and {len(looks)} can be read; it stays as given")
        else:
            with one_blas_thread():
                judge, fitted.presence = self._prepared.judge.fitted(looks, self.presence)
            fitted._prepared = self._prepared._replace(judge=judge)
        return fitted

    @property
    def presence_settings(self) -> dict[str, Any]:
        """What `fit_presence` changed, for the records of a run."""
        judge = self._prepared.judge
        return {"fitted presence": list(self.presence), "fitted examples": judge.digest()}

    def _stream(
        self, reading: Iterator[tuple[Source, Future[tuple[ScaledImage, Pixels]]]], batch_size: int
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

    def _read(self, image: Source | ScaledImage) -> tuple[ScaledImage, Pixels]:
        """The image, and the image at the size of the network's input."""
        scaled = read_scaled(image, LARGEST)
        return scaled, self._inputs.resize(scaled.pixels)

    @one_blas_thread()
    def _segment(self, read: Sequence[tuple[ScaledImage, Pixels]]) -> list[Result]:
        """The results of some images."""
        classes = self.concept.classes
        return [to_result(found.probabilities, classes, image, found.judged) for image, found in self._find(read)]

    def _find(self, read: Sequence[tuple[ScaledImage, Pixels]]) -> list[tuple[ScaledImage, Found]]:
        """Each image with what is found in it; those with inputs of one size share a pass through the network."""
        results: dict[int, Found] = {}
        for shape in dict.fromkeys(resized.shape for _, resized in read):
            batch = [index for index, (_, resized) in enumerate(read) if resized.shape == shape]
            images = np.stack([read[index][1] for index in batch])
            sizes = [(pixels.shape[0], pixels.shape[1]) for pixels in (read[index][0].pixels for index in batch)]
            finer = [self._finer.resize(read[index][0].pixels) for index in batch] if self._finer else None
            found = self._head.segment(images, self._prepared, sizes, self.presence, finer)
            for index, (probabilities, judged) in zip(batch, found, strict=True):
                results[index] = self._refine(Found(probabilities, judged), read[index][0])
        return [(image, results[index]) for index, (image, _) in enumerate(read)]

    def answer(self, features: Features, size: tuple[int, int] | None = None) -> Found:
        """What the first look finds in one image by its features (`FewShot.encode`), before outlines are refined.

        Args:
            size: height and width of the probabilities; None leaves them at the size of the features.

        Raises:
            ModelError: a method that does not compare features with prototypes.
        """
        return self._answer(features, size)

    def _answer(self, features: Features, size: tuple[int, int] | None = None, finer: Pixels | None = None) -> Found:
        if not isinstance(self._head, FeatureHead):
            raise ModelError(f"{self.concept.model} does not answer from features; prototypes and PANet do")
        (encoded,) = features_of(features, align_corners=self._head.align_corners)
        with one_blas_thread():
            return self._head.answer(encoded, self._prepared, size, self.presence, finer)

    def from_features(self, features: Features, image: Source | ScaledImage) -> Result:
        """The same result as for the image alone, by its features; only the second look is computed.

        Raises:
            ModelError: see `answer`.
        """
        scaled = read_scaled(image, LARGEST)
        finer = self._finer.resize(scaled.pixels) if self._finer else None
        answered = self._answer(features, (scaled.pixels.shape[0], scaled.pixels.shape[1]), finer)
        found = self._refine(answered, scaled)
        return to_result(found.probabilities, self.concept.classes, scaled, found.judged)

    def _refine(self, found: Found, image: ScaledImage) -> Found:
        probabilities, judged = found
        empty = not any(are_present(judged, self.presence, len(self.concept.classes)))
        if self._edges and not empty:
            probabilities = refine_edges(probabilities, image.pixels)
        return Found(probabilities, judged)
