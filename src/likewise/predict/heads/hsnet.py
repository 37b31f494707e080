"""HSNet: hypercorrelations of the query with every shot."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.errors import ConceptError, ExampleError
from likewise.models.hsnet import SMALLEST_SIDE, STRIDES, HSNet
from likewise.models.hsnet_inference import check_supports, encode_query, encode_support, segment_encoded
from likewise.ops.features import plane_size, resize
from likewise.ops.hypercorrelation.supports import Support, check_packed, pack_supports, unpack_supports
from likewise.ops.prototypes import resize_mask
from likewise.ops.shots import compete, foreground_wins, mean_probability, vote
from likewise.predict.concept import Concept
from likewise.predict.heads.protocol import Found, Mask
from likewise.predict.inputs import Pixels

LARGEST_INPUT = 4
"""Bound of a resized image's area in `side` squared: twice the largest that rounding to whole positions gives."""


class HSNetHead:
    """A class's probability is the mean over its shots, and classes compete (`compete`).

    As published, the shots of a single class vote instead (HSNet, section 4.5) and probabilities are 0 or 1; and a
    network with its authors' weights leaves empty every level at which the mask vanishes (`HSNetConfig.rescue`). The
    paper has no rule for several classes, so these compete either way.

    Images are resized to multiples of 16 pixels, at least 32. The paper's 400 x 400 stays unchanged, and images of
    many sizes share few input sizes, the first use of each being slow.

    Args:
        network: the model, ready for inference; its config is changed if `as_published`.
        fingerprint: of its weights.
        authors: whether the weights are the authors'.
        as_published: merge shots by the paper's vote.
    """

    multiple, smallest = 16, SMALLEST_SIDE
    finer_rows: tuple[str, ...] = ()

    def __init__(self, network: HSNet, fingerprint: str, *, authors: bool = False, as_published: bool = False) -> None:
        self.network, self.fingerprint, self.votes = network, fingerprint, as_published
        if as_published and authors:
            network.config = replace(network.config, rescue=False)
        spec = network.backbone.spec
        self.backbone = f"{spec.name}@{'+'.join(tap.module for tap in spec.taps)}"
        self.side = 256 if spec.name == "lite0" else 400  # as trained

    def check(self, concept: Concept) -> None:
        taps = self.network.backbone.taps
        channels = {stride: [tap.channels for tap in taps if tap.stride == stride] for stride in STRIDES}
        try:
            check_packed(concept.rows, channels, LARGEST_INPUT * concept.side**2)
        except ValueError as error:
            raise ConceptError(f"a damaged concept: {error}; learn it again from its examples") from error

    @torch.inference_mode()
    def learn(
        self, image: UInt8[np.ndarray, "h w 3"], foreground: Mask, background: Mask, *, absent: bool = False
    ) -> dict[str, np.ndarray]:
        """Return the foreground features of one example; HSNet does not use the background."""
        if absent:
            raise ExampleError("HSNet does not learn from negatives; leave them out, or choose another model")
        inside = torch.from_numpy(resize_mask(foreground, (image.shape[0], image.shape[1])))
        images = self.normalise(image[None])
        return pack_supports(encode_support(self.network, images, inside[None].to(images.device).float()))

    @torch.inference_mode()
    def prepare(self, concept: Concept) -> list[list[Support]]:
        """Return the supports of each class."""
        weight = next(self.network.parameters())
        ways: list[list[Support]] = [[] for _ in concept.classes]
        for index, support in zip(concept.class_of, unpack_supports(concept.rows), strict=True):
            ways[index].append(support.to(weight))
        for way in ways:
            check_supports(self.network, way)
        return ways

    @torch.inference_mode()
    def segment(
        self,
        images: UInt8[np.ndarray, "b h w 3"],
        prepared: list[list[Support]],
        sizes: Sequence[tuple[int, int]],
        thresholds: Sequence[float] = (),
        finer: Sequence[Pixels] | None = None,
    ) -> list[Found]:
        normalised = self.normalise(images)
        taps, plane = encode_query(self.network, normalised), plane_size(normalised)
        queries = ([tap[index : index + 1] for tap in taps] for index in range(len(images)))
        return [
            Found(self.probabilities(query, prepared, plane, size).cpu().numpy())
            for query, size in zip(queries, sizes, strict=True)
        ]

    def probabilities(
        self, query: list[Tensor], ways: list[list[Support]], plane: tuple[int, int], size: tuple[int, int]
    ) -> Float[Tensor, "k ho wo"]:
        """Return the probabilities of one image: its input has size `plane`, the result `size`."""
        if self.votes and len(ways) == 1:
            foreground = vote(foreground_wins(segment_encoded(self.network, query, ways[0], size)))
            return torch.cat([~foreground, foreground]).float()
        logits = [segment_encoded(self.network, query, way, plane)[0].float() for way in ways]
        return compete(torch.stack([mean_over_shots(way, size) for way in logits], dim=1))[0]

    def normalise(self, images: UInt8[np.ndarray, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
        """Return images as the network takes them, on its device."""
        weight = next(self.network.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(weight.device)
        return self.network.backbone.normalise(pixels).to(weight.dtype)


def mean_over_shots(logits: Float[Tensor, "s 2 h w"], size: tuple[int, int]) -> Float[Tensor, "1 ho wo"]:
    """Return the mean probability over the shots of a class, resized by pixel centres as the image was.

    One shot after the other: all of them at the size of a photograph take much memory.
    """
    total = torch.zeros(1, *size, device=logits.device)
    for shot in logits.split(1):
        total += mean_probability(resize(shot, size, align_corners=False)[:, None])
    return total / len(logits)
