"""How each few-shot method learns from one example and answers for one image: all in which `FewShot` differs by it.

image, marks --> Head.learn ---> rows of a concept
concept ---------> Head.prepare -> what is compared with
image ---------> Head.segment -> probabilities of the background and of each class
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from likewise.errors import ConceptError
from likewise.models.hsnet import SMALLEST_SIDE, HSNet
from likewise.models.hsnet_learned import Gathered, compare, gather, learn
from likewise.models.panet import PANet
from likewise.ops.features import plane_size, resize
from likewise.ops.hypercorrelation.supports import Support, check_stacked, stacked, unstacked
from likewise.ops.prototypes import Shown
from likewise.ops.shots import compete, foreground_wins, mean_probability, vote
from likewise.predict.concept import Concept


@runtime_checkable
class Head(Protocol):
    """What `FewShot` asks of a method.

    Attributes:
        network: the model.
        side: to about `side` x `side` pixels images are brought unless told otherwise.
        multiple: what the sides of a brought image are multiples of.
        smallest: the shortest side of a brought image.
    """

    network: Any
    side: int
    multiple: int
    smallest: int

    def check(self, concept: Concept) -> None:
        """Raise a `ConceptError` unless the concept has what this network learns of an example."""

    def learn(
        self,
        images: Float[Tensor, "1 3 h w"],
        foreground: Bool[Tensor, "1 hm wm"],
        background: Bool[Tensor, "1 hm wm"],
    ) -> dict[str, Tensor]:
        """The rows of one example; its masks are of the image's own size."""
        ...

    def prepare(self, concept: Concept, device: torch.device) -> Any:
        """What `segment` compares with, made once for many images."""
        ...

    def segment(
        self, images: Float[Tensor, "1 3 h w"], prepared: Any, size: tuple[int, int]
    ) -> Float[Tensor, "classes ho wo"]:
        """The probabilities of the background and of each class, at the wanted size (height, width)."""
        ...

    def as_published(self) -> AbstractContextManager[None]:
        """Within, several shots are joined as the method's paper does."""
        ...


class PANetHead:
    """Prototypes: shots are averaged as prototypes, classes compete by their cosines, both as published.

    Images are brought to whole strides of the deepest features.
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
        sides = {"foreground": foreground, "background": background}
        return {name: self.network.pool(features, mask.float()).cpu() for name, mask in sides.items()}

    def prepare(self, concept: Concept, device: torch.device) -> Float[Tensor, "1 k c"]:
        """The background's prototype, averaged over classes and shots, then one of each class (PANet, section 3.2)."""
        ways = [concept.of_class(index) for index in range(len(concept.classes))]
        rest = torch.stack([way["background"].float().mean(dim=0) for way in ways]).mean(dim=0)
        return torch.stack([rest, *(way["foreground"].float().mean(dim=0) for way in ways)])[None].to(device)

    def segment(
        self, images: Float[Tensor, "1 3 h w"], prepared: Float[Tensor, "1 k c"], size: tuple[int, int]
    ) -> Float[Tensor, "k ho wo"]:
        logits = self.network.relate(self.features(images), prepared)
        return self.network.decode(logits, size).softmax(dim=1)[0]

    def features(self, images: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 c hf wf"]:
        """In single precision, whatever the backbone's: the means under the masks need it."""
        return self.network.features(images).float()

    def as_published(self) -> AbstractContextManager[None]:
        return nullcontext()


class HSNetHead:
    """Hypercorrelations: each class's probability is the mean over its shots, and classes compete (`compete`).

    As published, the shots of a single class vote instead (section 4.5), and probabilities are 0 or 1; and a network
    with its authors' weights leaves a level at which the mask vanishes empty (`HSNetConfig.rescue`). Several classes
    are not in the paper: there nothing changes. A network with prototypes gives one answer of all shots itself.

    Images are brought to multiples of 16 pixels, at least 32: 400x400 stays as it is, as in the paper, and images
    of many sizes come to few, since the first of each size takes longer.

    Args:
        network: the model.
        published: whether its weights are its authors'.
    """

    def __init__(self, network: HSNet, *, published: bool) -> None:
        self.network, self.published, self.votes = network, published, False
        self.side = 320 if network.backbone.spec.name == "lite0" else 400
        self.multiple, self.smallest = 16, SMALLEST_SIDE

    def check(self, concept: Concept) -> None:
        concept.check_rows(Shown._fields)
        try:
            check_stacked(concept.rows)
        except ValueError as error:
            raise ConceptError(f"a damaged concept: {error}; learn it again from its examples") from error

    def learn(
        self,
        images: Float[Tensor, "1 3 h w"],
        foreground: Bool[Tensor, "1 hm wm"],
        background: Bool[Tensor, "1 hm wm"],
    ) -> dict[str, Tensor]:
        size = plane_size(images)
        return stacked(learn(self.network, images, brought(foreground, size), brought(background, size)))

    def prepare(self, concept: Concept, device: torch.device) -> list[Gathered]:
        """The shots of each class."""
        like = torch.empty(0, device=device, dtype=next(self.network.parameters()).dtype)
        ways: list[list[Support]] = [[] for _ in concept.classes]
        for index, support in zip(concept.class_of, unstacked(concept.rows), strict=True):
            ways[index].append(support)
        return [gather(way, like) for way in ways]

    def segment(
        self, images: Float[Tensor, "1 3 h w"], prepared: list[Gathered], size: tuple[int, int]
    ) -> Float[Tensor, "classes ho wo"]:
        query, plane = self.network.look(images), plane_size(images)
        if self.votes and len(prepared) == 1:
            foreground = vote(foreground_wins(compare(self.network, query, prepared[0], size)))
            return torch.cat([~foreground, foreground]).float()
        ways = [compare(self.network, query, way, plane)[0].float() for way in prepared]
        return compete(torch.stack([self.probability(way, size) for way in ways], dim=1))[0]

    def probability(self, logits: Float[Tensor, "s 2 h w"], size: tuple[int, int]) -> Float[Tensor, "1 ho wo"]:
        """The mean over a class's answers, one after the other, since all of them at a photograph's size are large.

        Logits are of the brought image's size, and go back by the centres of pixels, as the image came.
        """
        total = torch.zeros(1, *size, device=logits.device)
        for shot in logits.split(1):
            total += mean_probability(resize(shot, size, align_corners=False)[:, None])
        return total / len(logits)

    @contextmanager
    def as_published(self) -> Iterator[None]:
        config, self.votes = self.network.config, True
        self.network.config = replace(config, rescue=config.rescue and not self.published)
        try:
            yield
        finally:
            self.network.config, self.votes = config, False


def brought(mask: Bool[Tensor, "1 hm wm"], size: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """The mask at another size, still binary: 1 where it covers half of a pixel; if nowhere, where it covers any."""
    covered = F.adaptive_avg_pool2d(mask.float(), size)
    whole = covered >= 0.5
    return (whole if whole.any() else covered > 0).float()


def head_of(network: Any, *, published: bool) -> Head:
    """The head of a model.

    Raises:
        ValueError: a model that does not segment by example.
    """
    if isinstance(network, PANet):
        return PANetHead(network)
    if isinstance(network, HSNet):
        return HSNetHead(network, published=published)
    raise ValueError(f"{type(network).__name__} does not segment by example; PANet and HSNet do")
