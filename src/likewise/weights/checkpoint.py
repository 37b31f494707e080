"""Checkpoint files: read safely, and loaded strictly.

Files are safetensors, or are read with `weights_only=True`; errors name missing and unexpected entries.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from likewise.errors import WeightsError, first_of


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The entries of a checkpoint file, unwrapped from `state_dict` or `model`, without the prefix `module.`."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the path of a .safetensors, .pt or .pth checkpoint")
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({first_line(error)})") from error
    except Exception as error:  # pickle raises errors of many classes
        raise WeightsError(
            f"{path}: not a checkpoint, or one with objects other than tensors, which cannot be read safely; save its "
            "state_dict alone and pass that file"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: not a checkpoint: it holds no state dict of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_state(model: nn.Module, state: dict[str, Tensor], *, source: str | Path) -> None:
    """Load `state` into `model`; raise a `WeightsError` for entries that do not match, or hold NaN or infinity."""
    wrong = find_misfits(model.state_dict(), state)
    if wrong:
        raise WeightsError(f"{source}: does not fit this network; {describe_misfits(wrong)}")
    broken = sorted(name for name, value in state.items() if not value.isfinite().all())
    if broken:
        raise WeightsError(
            f"{source}: holds NaN or infinity; {list_entries('broken', broken)}; its training diverged, so use an "
            "earlier checkpoint"
        )
    model.load_state_dict(state, strict=True)


def find_misfits(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, list[str]]:
    """The entries that do not match between a network (`own`) and a checkpoint, by the kind of mismatch."""
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape
    ]
    found = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": misshapen,
    }
    return {kind: names for kind, names in found.items() if names}


def describe_misfits(misfits: dict[str, list[str]]) -> str:
    return "; ".join(list_entries(kind, names) for kind, names in misfits.items())


def read_header(path: str | Path) -> dict[str, str]:
    """The header of a safetensors file; empty for any other file."""
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


def list_entries(kind: str, names: list[str]) -> str:
    """The number of entries of a kind and the first four names."""
    return f"{len(names)} {kind}: {first_of(names, 4)}"


def first_line(error: Exception) -> str:
    """The first line of an error's message, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
