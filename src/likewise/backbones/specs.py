"""Backbones by name: the timm network, its taps and its normalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from likewise.backbones.normalisation import IMAGENET_MEAN, IMAGENET_STD
from likewise.errors import ModelError, did_you_mean


@dataclass(frozen=True)
class Tap:
    """A place in the network where a feature map is read.

    Attributes:
        module: name of the module inside timm's network.
        stride: distance of two positions in pixels of the image.
        channels: channels of the feature map.
        before: read the module's input instead of its output. For the last activation of a residual block this is the
            sum before the ReLU.
    """

    module: str
    stride: int
    channels: int
    before: bool = False


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone without its weights.

    Attributes:
        name: our name.
        timm: timm's model name.
        taps: the places where features are read, shallow to deep.
        mean, std: of the normalisation, for pixels in [0, 1].
        options: further arguments of `timm.create_model`.
        alter: a function that changes timm's network in place.
        multiple: images are padded on the right and below with zeros, the mean colour, to multiples of this side; the
            feature maps are cropped to the image.
        joined: concatenate timm's feature levels at the size of the first, as one tap.
        weights: default source of the weights: "bundled" with the installation, the "hub", or "none".
        about: description for users, one line.
    """

    name: str
    timm: str
    taps: tuple[Tap, ...]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    options: dict[str, Any] = field(default_factory=dict)
    alter: Callable[[Any], None] | None = None
    multiple: int = 1
    joined: bool = False
    weights: str = "hub"
    about: str = ""

    def with_taps(self, *modules: str) -> BackboneSpec:
        """The same backbone, read at these modules only."""
        known = {tap.module: tap for tap in self.taps}
        for module in modules:
            if module not in known:
                raise ModelError(f"{self.name} has no tap {module!r}; it has: {', '.join(known)}")
        return replace(self, taps=tuple(tap for tap in self.taps if tap.module in modules))


def _lite0(name: str, *, stride: int, about: str) -> BackboneSpec:
    """EfficientNet-Lite0, tapped at every block; blocks beyond `stride` are dilated."""
    # (stage, blocks, stride, channels) of EfficientNet-Lite0
    stages = ((1, 2, 4, 24), (2, 2, 8, 40), (3, 3, 16, 80), (4, 3, 16, 112), (5, 4, 32, 192), (6, 1, 32, 320))
    return BackboneSpec(
        name=name,
        timm="tf_efficientnet_lite0",
        taps=tuple(
            Tap(f"blocks.{stage}.{block}", min(own, stride), channels)
            for stage, blocks, own, channels in stages
            for block in range(blocks)
        ),
        options={} if stride == 32 else {"output_stride": stride},
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        weights="bundled",
        about=about,
    )


def _residual(name: str, timm_name: str, blocks: tuple[int, ...], *, deep: bool, about: str) -> BackboneSpec:
    """A bottleneck ResNet, tapped at every residual sum before its ReLU.

    With `deep`, PANet's variant: a stem of three 3x3 convolutions (64, 64, 128) and stride 8 from layer2 on, the
    later blocks of layer3 dilated.
    """
    strides = (4, 8, 8, 8) if deep else (4, 8, 16, 32)
    taps = tuple(
        Tap(f"layer{stage + 1}.{block}.act3", strides[stage], 256 * 2**stage, before=True)
        for stage, count in enumerate(blocks)
        for block in range(count)
    )
    options = {"stem_type": "deep", "stem_width": 64, "output_stride": 8} if deep else {}
    return BackboneSpec(name, timm_name, taps, options=options, weights="none" if deep else "hub", about=about)


def _residual_stride8(name: str, timm_name: str, *, about: str) -> BackboneSpec:
    """MCIBI's ResNet and ResNeSt: a stem of three 3x3 convolutions, layers 3 and 4 dilated, read after their ReLU."""
    taps = (Tap("layer3", 8, 1024), Tap("layer4", 8, 2048))
    return BackboneSpec(name, timm_name, taps, options={"output_stride": 8}, about=about)


def _high_resolution(name: str, timm_name: str, width: int, *, about: str) -> BackboneSpec:
    """HRNetV2 (Wang et al., TPAMI 2020): the four branches concatenated at stride 4."""
    options = {"features_only": True, "feature_location": "", "out_indices": (1, 2, 3, 4)}
    taps = (Tap("branches", 4, (1 + 2 + 4 + 8) * width),)
    return BackboneSpec(name, timm_name, taps, options=options, multiple=32, joined=True, about=about)


def _vgg16(name: str, *, dilated: bool, about: str) -> BackboneSpec:
    """VGG-16, tapped at the convolutions before their ReLU and at the last pool.

    With `dilated`, PANet's variant: 3x3 pools with padding 1, the fourth of stride 1, and a dilated last block.
    """
    # (index of the ReLU, stride, channels), torchvision's numbering
    last = 8 if dilated else 16
    relus = (
        *((1, 1, 64), (3, 1, 64), (6, 2, 128), (8, 2, 128), (11, 4, 256), (13, 4, 256), (15, 4, 256)),
        *((18, 8, 512), (20, 8, 512), (22, 8, 512), (25, last, 512), (27, last, 512), (29, last, 512)),
    )
    taps = tuple(Tap(f"features.{index}", stride, channels, before=True) for index, stride, channels in relus)
    if not dilated:
        taps += (Tap("features.30", 32, 512),)
    return BackboneSpec(name, "vgg16.tv_in1k", taps, alter=_dilate_vgg16 if dilated else None, about=about)


def _dilate_vgg16(net: Any) -> None:
    from torch import nn

    features = net.get_submodule("features")
    for index, stride in ((4, 2), (9, 2), (16, 2), (23, 1)):
        features[index] = nn.MaxPool2d(3, stride=stride, padding=1)
    for index in (24, 26, 28):
        convolution = features[index]
        convolution.dilation = convolution.padding = (2, 2)


BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        _lite0("lite0", stride=32, about="EfficientNet-Lite0; its ImageNet weights are bundled"),
        _lite0(
            "lite0-stride8", stride=8, about="EfficientNet-Lite0, dilated to stride 8; its ImageNet weights are bundled"
        ),
        _vgg16("vgg16", dilated=False, about="VGG-16 of torchvision"),
        _vgg16("vgg16-dilated", dilated=True, about="VGG-16 of PANet's program: stride 8, padded 3x3 pools"),
        _residual("resnet50", "resnet50.tv_in1k", (3, 4, 6, 3), deep=False, about="ResNet-50 of torchvision"),
        _residual("resnet101", "resnet101.tv_in1k", (3, 4, 23, 3), deep=False, about="ResNet-101 of torchvision"),
        _residual("resnet50-deep", "resnet50", (3, 4, 6, 3), deep=True, about="ResNet-50, deep stem, stride 8"),
        _residual("resnet101-deep", "resnet101", (3, 4, 23, 3), deep=True, about="ResNet-101, deep stem, stride 8"),
        _residual_stride8("resnet50-stride8", "resnet50c.gluon_in1k", about="ResNet-50 of MCIBI's program: stride 8"),
        _residual_stride8("resnet101-stride8", "resnet101c.gluon_in1k", about="ResNet-101 of MCIBI's program"),
        _residual_stride8("resnest101-stride8", "resnest101e.in1k", about="ResNeSt-101, dilated to stride 8"),
        _high_resolution("hrnet-w48", "hrnet_w48.ms_in1k", 48, about="HRNet-W48, four branches at stride 4"),
    )
}


SEMANTIC = BACKBONES["lite0"].with_taps("blocks.6.0")
"""The source of the semantic map of the bundled few-shot models: its last block, with ImageNet weights."""


def backbone_spec(name: str, *, taps: tuple[str, ...] = ()) -> BackboneSpec:
    """The backbone with this name: one of `BACKBONES`, or any timm model with feature maps.

    Args:
        name: "lite0", "resnet50", ..., or a timm name such as "convnext_tiny" or "vit_small_patch14_dinov2".
        taps: module names for one of `BACKBONES`, by default all of its taps. For a timm model the indices of its
            feature levels, negative ones from the deepest, by default the deepest.

    Raises:
        ModelError: an unknown backbone or tap, or a timm model that cannot be a backbone.
    """
    if name in BACKBONES:
        return BACKBONES[name].with_taps(*taps) if taps else BACKBONES[name]
    import timm

    if not timm.is_model(name):
        hint = did_you_mean(name, [*BACKBONES, *timm.list_models()]) or "; see `likewise backbones`"
        raise ModelError(f"unknown backbone {name!r}{hint}")
    indices = tuple(_level_index(name, tap) for tap in taps) or (-1,)
    options, multiple, levels = _levels(name, indices)
    settings: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return BackboneSpec(
        name,
        name,
        tuple(Tap(level["module"], level["reduction"], level["num_chs"]) for level in levels),
        mean=tuple(settings.mean),
        std=tuple(settings.std),
        options=options,
        multiple=multiple,
        about="timm",
    )


def _level_index(name: str, tap: str) -> int:
    import timm
    import torch

    with torch.device("meta"):
        net: Any = timm.create_model(name, pretrained=False, features_only=True)
    count = len(net.feature_info.info)
    if not (tap.lstrip("-").isdecimal() and -count <= int(tap) < count):
        raise ModelError(f"{name} has no feature level {tap!r}; it has 0 to {count - 1}, or -{count} to -1")
    return int(tap)


def _levels(name: str, indices: tuple[int, ...]) -> tuple[dict[str, Any], int, list[dict[str, Any]]]:
    """timm's options for these feature levels with images of any size, the multiple for padding, and the levels' info.

    The multiple is the largest stride of the network.
    """
    import timm
    import torch

    for any_size in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        options: dict[str, Any] = {"features_only": True, "out_indices": indices, **any_size}
        try:
            with torch.device("meta"):
                net: Any = timm.create_model(name, pretrained=False, **options).eval()
        except TypeError:  # this network has no such option
            continue
        multiple = max(level["reduction"] for level in net.feature_info.info)
        try:
            net(torch.empty(1, 3, 4 * multiple, 6 * multiple, device="meta"))
        except Exception as error:  # any error inside the network
            raise ModelError(f"timm's {name} needs images of one size ({error}); choose another backbone") from error
        return options, multiple, net.feature_info.get_dicts()
    raise ModelError(f"timm's {name} has no feature maps, so it cannot be a backbone; choose another")
