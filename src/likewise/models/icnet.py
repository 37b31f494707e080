"""ICNet: co-saliency detection from the single-image saliency maps (SISMs) of a group.

Jin, Xu, Cheng, Zhang, Guo, "ICNet: Intra-saliency Correlation Network for Co-Saliency Detection", NeurIPS 2020.

    images --> backbone --+--> pool under the SISMs --> vectors of the whole group --+
                          |                                                          +--> co-attention --+
                          +----> features at strides 8, 16, 32 ----------------------+                   |
                          |                                                                              v
                          +----> shallow features ------------------------> decode, refine <-------------+

`vgg16` is the published variant. `lite0` is ours: narrower, with refinements at strides 8, 8 and 4. By default it
compares the backbone's two deepest features uncompressed at all three levels, so that training cannot degrade them.

We differ in three things. A group may have any size: the vectors of all images are computed first, then each image is
compared with all of them, while the published program splits large groups, which changes the result. Co-attention maps
are in double precision, because two positions that swap their order change the output. The HW x HW self-correlation is
never stored: instead of its channels, the features are reordered before the 1x1 convolution, which is equivalent.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn

from likewise.backbones.specs import BACKBONES, Tap
from likewise.backbones.taps import Backbone
from likewise.errors import ImageError
from likewise.models.blocks.coattention import (
    SIZE,
    CoAttention,
    Refinement,
    Residual,
    conv1x1,
    conv3x3,
    norm_relu,
    prediction,
)
from likewise.models.blocks.renaming import rename_entry
from likewise.ops.features import plane_size, resize, soft_iou_loss

STRIDES = (8, 16, 32)

Maps = list[Float[Tensor, "n _c _h _w"]]
Levels = dict[int, Float[Tensor, "n _c _h _w"]]
"""The compared features of a group by stride."""
Vectors = dict[int, Tensor]
"""Single-image vectors (SIVs) of a group: for each stride `Float[Tensor, "n 2 c"]`, foreground and background, each of
length one, or zero where a map is empty."""


@dataclass(frozen=True)
class ICNetConfig:
    """Channels and calibration; the defaults are published.

    Attributes:
        compressed: channels of the compressed features at strides 8, 16 and 32. None compares the two deepest taps
            uncompressed at all three strides: each standardised and normalised to length one, then concatenated.
        width: channels of the co-attention's output and of the decoder.
        refined: channels of each refinement's output.
        threshold: prediction that is mapped to a probability of one half; the soft IoU loss makes a network
            overconfident.
    """

    compressed: tuple[int, int, int] | None = (256, 256, 128)
    width: int = 128
    refined: int = 32
    threshold: float = 0.5


class ICNet(nn.Module):
    """Probability that each pixel belongs to the object that the images of a group share.

    The backbone's taps, shallow to deep: three for the refinements, then one of stride 8, one of stride 16 and
    optionally one of stride 32.
    """

    def __init__(self, backbone: Backbone, config: ICNetConfig | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config = config or ICNetConfig()
        taps = [tap.channels for tap in backbone.taps]
        if config.compressed is None:
            # momentum=None averages over all of training: the last groups show few classes
            norms = (nn.BatchNorm2d(channels, momentum=None, affine=False) for channels in taps[-2:])
            self.standardise = nn.ModuleList(norms)
        else:
            pool = nn.MaxPool2d(2) if backbone.taps[-1].stride == 16 else nn.Identity()
            channels8, channels16, channels32 = config.compressed
            self.compress8 = conv1x1(taps[3], channels8)
            self.compress16 = conv1x1(taps[4], channels16)
            self.compress32 = nn.Sequential(
                *(pool, conv1x1(taps[-1], channels32)),
                *norm_relu(channels32, channels32),
                *norm_relu(channels32, channels32),
                conv3x3(channels32, channels32),
            )
        width, refined = config.width, config.refined
        self.attend8, self.attend16, self.attend32 = (CoAttention(stride, width) for stride in STRIDES)
        self.merge32to16 = Residual(width)
        self.merge16to8 = nn.Sequential(Residual(width), conv1x1(width, refined))
        self.predict = prediction(refined)
        self.refinements = nn.ModuleList(Refinement(channels, refined) for channels in reversed(taps[:3]))
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("backbone."):
                if config.compressed is None:
                    # with the published std of 0.01, the predictions stay constant for hundreds of steps
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.normal_(module.weight, std=0.01)
                nn.init.constant_(module.bias, 0)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "n 3 h w"], sisms: Float[Tensor, "n hs ws"]) -> Float[Tensor, "n ho wo"]:
        """Return the probabilities of the common object, for a whole group at once.

        Images are normalised for the backbone, single-image saliency maps in [0, 1].

        Raises:
            ImageError: images or maps that are not 224x224.
        """
        shallow, levels = self.features(images)
        attended = self.relate(levels, self.vectors(levels, sisms))
        return calibrate(full_size(self.decode(attended, shallow, sisms)[-1])[:, 0], self.config.threshold)

    def features(self, images: Float[Tensor, "n 3 h w"]) -> tuple[Maps, Levels]:
        """Return three shallow feature maps, from fine to coarse, and the compared features by stride."""
        check_size(images, "images")
        *shallow, tap8, tap16 = (taps := self.backbone(images))[:5]
        if self.config.compressed is None:
            norms = zip(self.standardise, taps[-2:], strict=True)
            deep = [F.normalize(standardise(tap), dim=1) for standardise, tap in norms]
            sizes = {stride: (SIZE // stride, SIZE // stride) for stride in STRIDES}
            resized = {at: [resize(tap, size, align_corners=True) for tap in deep] for at, size in sizes.items()}
            return shallow, {stride: torch.cat(taps, dim=1) for stride, taps in resized.items()}
        return shallow, {8: self.compress8(tap8), 16: self.compress16(tap16), 32: self.compress32(taps[-1])}

    def vectors(self, levels: Levels, sisms: Float[Tensor, "n hs ws"]) -> Vectors:
        """Return single-image vectors: normalised masked average pooling under the SISM and under its complement."""
        check_size(sisms, "saliency maps")
        return {stride: pool(features, sisms) for stride, features in levels.items()}

    def relate(self, levels: Levels, vectors: Vectors) -> Maps:
        """Return the co-attention features of the images at strides 8, 16 and 32."""
        attentions = {8: self.attend8, 16: self.attend16, 32: self.attend32}
        return [attend(levels[stride], vectors[stride]) for stride, attend in attentions.items()]

    def decode(self, attended: Maps, shallow: Maps, sisms: Float[Tensor, "n hs ws"]) -> Maps:
        """Return four predictions, coarse to fine, each at its own size. The first one gates every refinement."""
        attended8, attended16, attended32 = attended
        merged = self.merge32to16(attended16 + resize(attended32, plane_size(attended16), align_corners=True))
        merged = self.merge16to8(attended8 + resize(merged, plane_size(attended8), align_corners=True))
        predictions = [gate := self.predict(merged)]
        for refine, feature in zip(self.refinements, reversed(shallow), strict=True):
            merged, finer = refine(feature, merged, gate, sisms[:, None])
            predictions.append(finer)
        return predictions

    def loss(
        self, images: Float[Tensor, "n 3 h w"], sisms: Float[Tensor, "n h w"], masks: Float[Tensor, "n h w"]
    ) -> Float[Tensor, ""]:
        """Return the soft IoU loss of the four predictions, resized to 224x224."""
        shallow, levels = self.features(images)
        predictions = self.decode(self.relate(levels, self.vectors(levels, sisms)), shallow, sisms)
        return soft_iou_loss(torch.cat([full_size(prediction) for prediction in predictions], dim=1), masks)

    @torch.inference_mode()
    def encode_group(self, images: Float[Tensor, "n 3 h w"], sisms: Float[Tensor, "n hs ws"]) -> Vectors:
        """First pass: return the single-image vectors of some images of a group; `concat_vectors` merges parts."""
        pairs = zip(images.split(1), sisms.split(1), strict=True)
        return concat_vectors([self.vectors(self.features(image)[1], sism) for image, sism in pairs])

    @torch.inference_mode()
    def segment(
        self, images: Float[Tensor, "n 3 h w"], sisms: Float[Tensor, "n hs ws"], group: Vectors
    ) -> Float[Tensor, "n ho wo"]:
        """Second pass: return the probabilities that `forward` gives for these images of the group with these vectors.

        Both passes compute features image by image, because the rounding of convolutions depends on the batch size and
        can swap two positions. So an image's output does not depend on how its group is split into parts.
        """
        parts = [self.features(image) for image in images.split(1)]
        shallow = [torch.cat(level) for level in zip(*(part[0] for part in parts), strict=True)]
        levels = {stride: torch.cat([part[1][stride] for part in parts]) for stride in STRIDES}
        found = full_size(self.decode(self.relate(levels, group), shallow, sisms)[-1])[:, 0]
        return calibrate(found, self.config.threshold)


def concat_vectors(parts: list[Vectors]) -> Vectors:
    """Return the vectors of all parts of a group as those of one group."""
    return {stride: torch.cat([part[stride] for part in parts]) for stride in STRIDES}


def pool(features: Float[Tensor, "n c h w"], sisms: Float[Tensor, "n hs ws"]) -> Float[Tensor, "n 2 c"]:
    """Return unit vectors of the foreground and the background; an empty side has a zero vector."""
    # Subtract before resizing: resized ones are not exactly one, and the rest would become a vector of length one.
    sides = resize(torch.stack([sisms, 1 - sisms], dim=1), plane_size(features), align_corners=True)
    unit = F.normalize(features, dim=1)
    pooled = einsum(sides, unit, "n side h w, n c h w -> n side c") / sides[0, 0].numel()
    return F.normalize(pooled, dim=2)


def full_size(predictions: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 ho wo"]:
    return resize(predictions, (SIZE, SIZE), align_corners=True)


def calibrate(predictions: Float[Tensor, "n h w"], threshold: float) -> Float[Tensor, "n h w"]:
    """Return predictions with their odds divided by those of `threshold`, which maps to one half."""
    foreground, background = predictions * (1 - threshold), (1 - predictions) * threshold
    return foreground / (foreground + background)


def check_size(planes: Float[Tensor, "*n h w"], name: str) -> None:
    """Raise an `ImageError` unless the planes are 224x224."""
    height, width = plane_size(planes)
    if (height, width) != (SIZE, SIZE):
        raise ImageError(
            f"ICNet needs {name} of {SIZE}x{SIZE} pixels, not {width}x{height} (width x height), because its "
            f"self-correlation has one channel for each position; resize them to {SIZE}x{SIZE}"
        )


PUBLISHED_NAMES = {
    "vgg.vgg.": "backbone.net.features.",
    "conv4_cmprs.": "compress8.",
    "conv5_cmprs.": "compress16.",
    "conv6_cmprs.": "compress32.",
    **{
        f"{theirs}.{their_part}": f"{ours}.{our_part}"
        for theirs, ours in {"Co4": "attend8", "Co5": "attend16", "Co6": "attend32"}.items()
        for their_part, our_part in {
            "cosal_feat.conv.0.": "correlation.",
            "cosal_feat.conv.1.conv.": "side.convolutions.",
            "conv.0.": "merge.0.",
            "conv.1.conv.": "merge.1.convolutions.",
        }.items()
    },
    "merge_co_56.conv.": "merge32to16.convolutions.",
    "merge_co_45.0.conv.": "merge16to8.0.convolutions.",
    "merge_co_45.1.": "merge16to8.1.",
    "get_pred_4.pred.": "predict.",
    **{
        f"refine_{3 - index}.{their_part}": f"refinements.{index}.{our_part}"
        for index in range(3)
        for their_part, our_part in {"cmprs.": "compress.", "merge_conv.": "merge.", "pred.pred.": "predict."}.items()
    },
}


def from_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the published program's entries under our names; they may start with `module.`."""
    return {rename_entry(published, PUBLISHED_NAMES, "ICNet"): value for published, value in state.items()}


VGG16_BACKBONE = replace(
    BACKBONES["vgg16"],
    taps=(
        *(Tap("features.3", 1, 64), Tap("features.8", 2, 128), Tap("features.15", 4, 256)),
        *(Tap("features.22", 8, 512), Tap("features.29", 16, 512)),
    ),
)
"""The last convolution of each block, after its ReLU."""

LITE0_BACKBONE = replace(
    BACKBONES["lite0"],
    taps=(
        *(Tap("blocks.1.1", 4, 24), Tap("blocks.2.0", 8, 40), Tap("blocks.2.1", 8, 40)),
        *(Tap("blocks.2.1", 8, 40), Tap("blocks.4.2", 16, 112), Tap("blocks.5.3", 32, 192)),
    ),
)
LITE0_CONFIG = ICNetConfig(compressed=(64, 64, 64), width=64, refined=16)


def vgg16() -> ICNet:
    """The published variant."""
    return ICNet(Backbone(VGG16_BACKBONE, frozen=False))


def lite0(*, compress: bool = False) -> ICNet:
    """Our variant, on the bundled backbone: half as wide, with refinements at strides 8, 8 and 4."""
    config = LITE0_CONFIG if compress else replace(LITE0_CONFIG, compressed=None, threshold=0.85)
    return ICNet(Backbone(LITE0_BACKBONE, frozen=False), config)


def variant(backbone: str, *, compress: bool) -> ICNet:
    """Return the variant on a backbone, "vgg16" or "lite0"; that on "vgg16" always compresses features."""
    return vgg16() if backbone == "vgg16" else lite0(compress=compress)
