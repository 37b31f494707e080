"""Checkpoint files: read safely, checked against a network entry by entry.

Loading is strict and safe: files are safetensors or are read with `weights_only=True`, and entries that are missing or
unexpected are named.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from likewise.errors import WeightsError


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
        raise WeightsError(f"{path}: not a readable checkpoint ({first_line(error)})") from error
    except Exception as error:  # pickle's own errors have no common class
        raise WeightsError(
            f"{path}: cannot be read safely ({first_line(error)}); save its state_dict alone and pass that file"
        ) from error
    for wrapping in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapping), dict):
            state = state[wrapping]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors, so it is not a checkpoint of a network")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_state(model: nn.Module, state: dict[str, Tensor], *, source: str | Path) -> None:
    """Put `state` into `model`, every entry of both, or raise a `WeightsError`: what does not fit, or is no number."""
    wrong = find_misfits(model.state_dict(), state)
    if wrong:
        raise WeightsError(f"{source}: does not fit this network; {describe_misfits(wrong)}")
    broken = sorted(name for name, value in state.items() if not value.isfinite().all())
    if broken:
        raise WeightsError(
            f"{source}: holds NaN or infinity; {named('broken', broken)}; the training that made it went astray: take "
            "an earlier checkpoint of it"
        )
    model.load_state_dict(state, strict=True)


def find_misfits(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, list[str]]:
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


def describe_misfits(misfits: dict[str, list[str]]) -> str:
    """In one line, the first few of each kind."""
    return "; ".join(named(what, names) for what, names in misfits.items())


def read_header(path: str | Path) -> dict[str, str]:
    """What a safetensors file says of itself; nothing for any other file."""
    try:
        with safe_open(Path(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def fingerprint(model: nn.Module) -> str:
    """Sixteen hexadecimal digits that change with any weight of the model."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def named(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
