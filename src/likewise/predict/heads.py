"""How each few-shot method learns an example and segments an image. `FewShot` does the rest.

image, mask --> Head.learn ----> rows of a concept
concept ------> Head.prepare --> prepared concept --+
images ---------------------------------------------+--> Head.segment --> probabilities of background and classes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from likewise.errors import ConceptError, ModelError
from likewise.models.blocks.hypercorrelation import SMALLEST_SIDE
from likewise.models.hsnet import HSNet, HSNetConfig
from likewise.models.hsnet_inference import (
    EncodedClass,
    EncodedQuery,
    encode_query,
    encode_support,
    merge_supports,
    segment_encoded,
)
from likewise.models.panet import PANet
from likewise.models.prototype_hsnet import PrototypeHSNet
from likewise.ops.features import plane_size, resize
from likewise.ops.hypercorrelation.supports import Support, check_packed, pack_supports, unpack_supports
from likewise.ops.prototypes import SupportStatistics
from likewise.ops.shots import compete, foreground_wins, mean_probability, vote
from likewise.predict.concept import Concept


@runtime_checkable
class Head(Protocol):
    """The part of `FewShot` that depends on the method.

    Attributes:
        network: the model.
        side: default input size; images are resized to about `side` x `side` pixels.
        multiple: both sides of a resized image are multiples of this.
        smallest: the smallest side of a resized image.
    """

    network: Any
    side: int
    multiple: int
    smallest: int

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept has the rows that this network needs."""

    def learn(
        self,
        images: Float[Tensor, "1 3 h w"],
        foreground: Bool[Tensor, "1 hm wm"],
        background: Bool[Tensor, "1 hm wm"],
    ) -> dict[str, Tensor]:
        """The rows of one example. The masks have the size of the original image."""
        ...

    def prepare(self, concept: Concept, device: torch.device) -> Any:
        """What `segment` compares images with: computed once per concept, never changed afterwards."""
        ...

    def segment(
        self, images: Float[Tensor, "b 3 h w"], prepared: Any, sizes: Sequence[tuple[int, int]]
    ) -> list[Float[Tensor, "k _ho _wo"]]:
        """For each image the probabilities of the background and of each class, at its `sizes` (height, width)."""
        ...


class PANetHead:
    """Prototypes: shots are averaged into one prototype per class, and a softmax over cosines decides.

    Images are resized to multiples of the deepest stride.
    """

    def __init__(self, network: PANet) -> None:
        self.network = network
        self.side = 320
        self.multiple = self.smallest = max(tap.stride for tap in network.backbone.taps)

    def check(self, concept: Concept) -> None:
        concept.check_rows(("foreground", "background"))

    def learn(
        self,
        images: Float[Tensor, "1 3 h w"],
        foreground: Bool[Tensor, "1 hm wm"],
        background: Bool[Tensor, "1 hm wm"],
    ) -> dict[str, Tensor]:
        features = self.features(images)
        masks = {"foreground": foreground, "background": background}
        return {name: self.network.pool(features, mask.float()).cpu() for name, mask in masks.items()}

    def prepare(self, concept: Concept, device: torch.device) -> Float[Tensor, "1 k c"]:
        """The background prototype, averaged over classes and shots, then one for each class (PANet, section 3.2)."""
        ways = [concept.of_class(index) for index in range(len(concept.classes))]
        background = torch.stack([way["background"].float().mean(dim=0) for way in ways]).mean(dim=0)
        return torch.stack([background, *(way["foreground"].float().mean(dim=0) for way in ways)])[None].to(device)

    def segment(
        self, images: Float[Tensor, "b 3 h w"], prepared: Float[Tensor, "1 k c"], sizes: Sequence[tuple[int, int]]
    ) -> list[Float[Tensor, "k _ho _wo"]]:
        logits = self.network.relate(self.features(images), prepared)
        planes = zip(logits.split(1), sizes, strict=True)
        return [self.network.decode(plane, size).softmax(dim=1)[0] for plane, size in planes]

    def features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hf wf"]:
        """Features in single precision whatever the backbone's: means over masks need it."""
        return self.network.features(images).float()


class HSNetHead:
    """Hypercorrelations: a class's probability is the mean over its shots, and classes compete (`compete`).

    As published, the shots of a single class vote instead (HSNet, section 4.5) and probabilities are 0 or 1; and a
    network with its authors' weights leaves empty every level at which the mask vanishes (`HSNetConfig.rescue`). The
    paper has no rule for several classes, so these compete either way. A network with prototypes merges the shots
    itself and returns one set of logits.

    Images are resized to multiples of 16 pixels, at least 32. The paper's 400 x 400 stays unchanged, and images of
    many sizes share few input sizes, of which the first use is slow.

    Args:
        network: the model; its config is changed if `as_published`.
        authors: whether the weights are the authors'.
        as_published: merge shots by the paper's vote.
    """

    def __init__(self, network: HSNet | PrototypeHSNet, *, authors: bool = False, as_published: bool = False) -> None:
        self.network, self.votes = network, as_published
        if as_published and authors and isinstance(network.config, HSNetConfig):
            network.config = replace(network.config, rescue=False)
        self.side = 320 if network.backbone.spec.name == "lite0" else 400
        self.multiple, self.smallest = 16, SMALLEST_SIDE

    def check(self, concept: Concept) -> None:
        if isinstance(self.network, PrototypeHSNet):
            concept.check_rows(SupportStatistics._fields)
        try:
            check_packed(concept.rows)
        except ValueError as error:
            raise ConceptError(f"a damaged concept: {error}; learn it again from its examples") from error

    def learn(
        self,
        images: Float[Tensor, "1 3 h w"],
        foreground: Bool[Tensor, "1 hm wm"],
        background: Bool[Tensor, "1 hm wm"],
    ) -> dict[str, Tensor]:
        size = plane_size(images)
        masks = resize_mask(foreground, size), resize_mask(background, size)
        return pack_supports(encode_support(self.network, images, *masks))

    def prepare(self, concept: Concept, device: torch.device) -> list[EncodedClass]:
        """The supports of each class."""
        like = torch.empty(0, device=device, dtype=next(self.network.parameters()).dtype)
        ways: list[list[Support]] = [[] for _ in concept.classes]
        for index, support in zip(concept.class_of, unpack_supports(concept.rows), strict=True):
            ways[index].append(support)
        return [merge_supports(self.network, way, like) for way in ways]

    def segment(
        self, images: Float[Tensor, "b 3 h w"], prepared: list[EncodedClass], sizes: Sequence[tuple[int, int]]
    ) -> list[Float[Tensor, "k _ho _wo"]]:
        queries, plane = encode_query(self.network, images), plane_size(images)
        return [self.probabilities(queries.image(index), prepared, plane, size) for index, size in enumerate(sizes)]

    def probabilities(
        self, query: EncodedQuery, ways: list[EncodedClass], plane: tuple[int, int], size: tuple[int, int]
    ) -> Float[Tensor, "k ho wo"]:
        """The probabilities of one image: its input has size `plane`, the answer `size`."""
        if self.votes and len(ways) == 1:
            foreground = vote(foreground_wins(segment_encoded(self.network, query, ways[0], size)))
            return torch.cat([~foreground, foreground]).float()
        logits = [segment_encoded(self.network, query, way, plane)[0].float() for way in ways]
        return compete(torch.stack([mean_over_shots(way, size) for way in logits], dim=1))[0]


def mean_over_shots(logits: Float[Tensor, "s 2 h w"], size: tuple[int, int]) -> Float[Tensor, "1 ho wo"]:
    """The mean probability over the shots of a class, resized by pixel centres as the image was.

    One shot after the other: all of them at the size of a photograph take much memory.
    """
    total = torch.zeros(1, *size, device=logits.device)
    for shot in logits.split(1):
        total += mean_probability(resize(shot, size, align_corners=False)[:, None])
    return total / len(logits)


def resize_mask(mask: Bool[Tensor, "1 hm wm"], size: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """The mask at another size, binary: 1 where it covers at least half of a pixel, or any part if it never does."""
    covered = F.adaptive_avg_pool2d(mask.float(), size)
    half = covered >= 0.5
    return (half if half.any() else covered > 0).float()


def head_for(network: Any, *, authors: bool = False, as_published: bool = False) -> Head:
    """The head of a few-shot network; see `HSNetHead` for the arguments.

    Raises:
        ModelError: a network of another kind.
    """
    if isinstance(network, PANet):
        return PANetHead(network)
    if isinstance(network, HSNet | PrototypeHSNet):
        return HSNetHead(network, authors=authors, as_published=as_published)
    raise ModelError(f"{type(network).__name__} does not segment by example; PANet and HSNet do")
