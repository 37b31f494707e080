from pathlib import Path

import pytest
import torch
from torch import Tensor

from likewise.backbones.specs import BACKBONES, BackboneSpec
from likewise.backbones.taps import Backbone
from likewise.errors import TrainingError
from likewise.train.feature_cache import CachedBackbone, FeatureCache, cache_frozen

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
LITE0 = BACKBONES["lite0"].with_taps("blocks.4.2", "blocks.5.3")


def partly_frozen(spec: BackboneSpec, *learning: str) -> Backbone:
    torch.manual_seed(0)
    backbone = Backbone(spec).eval()
    for module in learning:
        backbone.net.get_submodule(module).requires_grad_(True)
    return backbone


def assert_close(cached: list[Tensor], whole: list[Tensor]) -> None:
    assert len(cached) == len(whole)
    for one, other in zip(cached, whole, strict=True):
        torch.testing.assert_close(one, other, atol=2e-2 * float(other.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("name", "last", "learning"),
    [
        ("lite0", "blocks.5.3", "blocks.4"),
        ("resnet50", "layer3.5.act3", "layer3"),
        ("vgg16", "features.30", "features.24"),
    ],
)
def test_a_backbone_with_a_cached_front_has_equal_features_and_trains_its_other_layers(
    name: str, last: str, learning: str, tmp_path: Path
) -> None:
    backbone = partly_frozen(BACKBONES[name].with_taps(last), learning)
    whole = [level.detach() for level in backbone(IMAGES)]
    learned = {name for name, p in backbone.named_parameters() if p.requires_grad}
    cached = cache_frozen(backbone, tmp_path)
    features = cached(IMAGES)
    assert_close(features, whole)
    sum(level.square().mean() for level in features).backward()
    assert {name for name, p in cached.named_parameters() if p.grad is not None} == learned
    assert not any(name.startswith("net.conv_stem") for name in cached.state_dict())


def test_a_completely_frozen_backbone_is_cached_at_its_taps(tmp_path: Path) -> None:
    backbone = partly_frozen(LITE0)
    cached = cache_frozen(backbone, tmp_path)
    assert isinstance(cached, CachedBackbone)
    assert cached.taps == backbone.taps
    assert_close(cached(IMAGES), backbone(IMAGES))


def test_features_that_are_read_have_the_bits_of_features_computed_in_any_batch(tmp_path: Path) -> None:
    first = FeatureCache(partly_frozen(LITE0), tmp_path)
    computed = first(IMAGES)
    again = FeatureCache(partly_frozen(LITE0), tmp_path)
    read = [torch.cat(pair) for pair in zip(again(IMAGES[1:]), again(IMAGES[:1]), strict=True)]
    assert (first.computed, again.computed) == (2, 0)
    for one, other in zip(computed, read, strict=True):
        assert torch.equal(one.flip(0), other)


def test_sizes_mirror_images_and_taps_have_separate_files(tmp_path: Path) -> None:
    cache = FeatureCache(partly_frozen(LITE0), tmp_path)
    cache(IMAGES[:1])
    cache(IMAGES[:1].flip(3))
    cache(IMAGES[:1, :, :32])
    assert cache.computed == 3
    other = cache_frozen(partly_frozen(BACKBONES["lite0"].with_taps("blocks.3.2", "blocks.5.3")), tmp_path)
    assert [level.shape[1] for level in other(IMAGES[:1])] == [80, 192]


def test_a_network_with_other_weights_has_a_separate_cache(tmp_path: Path) -> None:
    cache_frozen(partly_frozen(LITE0), tmp_path)(IMAGES)
    other = partly_frozen(LITE0)
    with torch.no_grad():
        other.net.conv_stem.weight.mul_(2)
    assert_close(cache_frozen(other, tmp_path)(IMAGES), other(IMAGES))


def test_caches_share_a_folder_and_leave_no_other_files(tmp_path: Path) -> None:
    one, two = (FeatureCache(partly_frozen(LITE0), tmp_path) for _ in range(2))
    one(IMAGES[:1])
    two(IMAGES[1:])
    one(IMAGES)
    assert (one.computed, two.computed) == (1, 1)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"] * 2


def test_a_trainable_first_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lite0"):
        cache_frozen(partly_frozen(LITE0, "conv_stem"), tmp_path)


def test_a_network_that_is_not_a_sequence_is_refused(tmp_path: Path) -> None:
    # resnet's stem pool comes before bn1 here, so the order of the parts is not that of execution
    backbone = partly_frozen(BACKBONES["resnet50"].with_taps("layer2.3.act3"), "layer2")
    parts = dict(backbone.net.named_children())
    for name in parts:
        delattr(backbone.net, name)
    for name in ("maxpool", *(name for name in parts if name != "maxpool")):
        setattr(backbone.net, name, parts[name])
    with pytest.raises(TrainingError, match="resnet50"):
        cache_frozen(backbone, tmp_path)
