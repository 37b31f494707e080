"""The part of `FewShot` that depends on the method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.predict.concept import Concept
from likewise.predict.inputs import Pixels
from likewise.predict.presence import Judged

Mask = Bool[np.ndarray, "hm wm"]
"""Foreground or background of an example, at the size of its original image."""


class Found(NamedTuple):
    """What a head finds in an image.

    Attributes:
        probabilities: of background and classes, at the size of the image.
        judged: what is known of each class; None if the head does not judge presence.
    """

    probabilities: Float32[np.ndarray, "k ho wo"]
    judged: tuple[Judged, ...] | None = None


@runtime_checkable
class Head(Protocol):
    """A few-shot method with its network; arrays in, arrays out.

    Attributes:
        backbone: the backbone's name with its taps.
        fingerprint: of the weights.
        side: default input size; images are resized to about `side` x `side` pixels.
        multiple: both sides of a resized image are multiples of this.
        smallest: the smallest side of a resized image.
        finer_rows: names of the rows of `learn` that the second look needs at its own size; empty if the method has
            no second look (`likewise.predict.second_look`).
    """

    backbone: str
    fingerprint: str
    side: int
    multiple: int
    smallest: int
    finer_rows: tuple[str, ...]

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept has the rows that this method needs."""

    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        """Return the rows of one example, each with a first axis of length 1.

        Args:
            image: at the size of the input.
            absent: a negative: the foreground is not the object.

        Raises:
            ExampleError: a negative, if the method does not learn from them.
        """
        ...

    def prepare(self, concept: Concept) -> Any:
        """Return what `segment` compares images with: computed once per concept, never changed afterwards."""
        ...

    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: Any,
        sizes: Sequence[tuple[int, int]],
        thresholds: Sequence[float] = (),
        finer: Sequence[Pixels] | None = None,
    ) -> list[Found]:
        """Return what is found in each image, at its `sizes` (height, width).

        Args:
            thresholds: a class with a lower presence than its threshold gets no pixel; none: every class may.
            finer: each image at the size of the second look; None: look once.
        """
        ...


@dataclass(frozen=True)
class Opened:
    """A few-shot model, ready for inference.

    Attributes:
        head: the method with its network.
        name: of the model, as concepts and results state it; of a training run, that of its recipe.
        engine: "onnx" or "torch".
        device: the device's name.
        trained_classes: the classes that it was trained on, where they are known.
        world: digest of the world, if presence is judged.
    """

    head: Head
    name: str
    engine: str
    device: str
    trained_classes: tuple[str, ...] = ()
    world: str | None = None
