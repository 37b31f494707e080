"""Import checkpoints of the published programs: safe files that name their network.

best_model.pt ------------------> import_checkpoint (finds the network) --+
checkpoint.pth, class names ----> import_scene_checkpoint ----------------+--> a .safetensors file for --model
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from likewise.errors import WeightsError
from likewise.io.atomic import write_atomically
from likewise.io.class_lists import read_class_table
from likewise.io.digests import file_digest
from likewise.models.mcibi import from_checkpoint
from likewise.weights.build import build_model
from likewise.weights.checkpoint import describe_misfits, find_misfits, load_state, read_state
from likewise.weights.load import IMPORT_FORMAT, PUBLISHED
from likewise.weights.names import MODELS


def import_checkpoint(method: str, path: str | Path, out: str | Path | None = None) -> tuple[str, Path]:
    """Write the authors' checkpoint as a safetensors file that names its network; return the name and the file.

    Args:
        method: "hsnet", "panet" or "icnet".
        out: the file; `path` with the suffix .safetensors by default. An existing file is not overwritten.

    Raises:
        WeightsError: a checkpoint that cannot be read or fits no network of the method, or an existing file.
    """
    path = Path(path)
    name, state = find_network(method, read_state(path), source=path)
    header = {
        "likewise": "weights",
        "format": str(IMPORT_FORMAT),
        "model": name,
        "source": path.name,
        "source sha256": file_digest(path),
    }
    return name, write_weights(path, out, state, header)


def find_network(method: str, state: dict[str, Tensor], *, source: str | Path) -> tuple[str, dict[str, Tensor]]:
    """The one published network of the method with these entries, and the entries under our names."""
    names = [name for name in PUBLISHED if MODELS[name].method == method]
    if not names:
        methods = ", ".join(dict.fromkeys(MODELS[name].method for name in PUBLISHED))
        raise WeightsError(f"checkpoints of {method!r} cannot be imported; those of {methods} can")
    refused: list[str] = []
    misfits: dict[str, dict[str, list[str]]] = {}
    for name in names:
        entry = PUBLISHED[name]
        try:
            renamed = entry.rename(state)
        except WeightsError as error:
            refused.append(str(error))
            continue
        with torch.device("meta"):
            own = entry.build().state_dict()
        misfits[name] = find_misfits(own, renamed)
        if not misfits[name]:
            return name, renamed
    if not misfits:
        raise WeightsError(f"{source}: not a checkpoint of {method}; {refused[0]}")
    nearest = min(misfits, key=lambda name: sum(map(len, misfits[name].values())))
    raise WeightsError(
        f"{source}: fits no network of {method}; the nearest is {nearest}: {describe_misfits(misfits[nearest])}"
    )


def import_scene_checkpoint(path: str | Path, classes: Sequence[str] | Path, out: str | Path | None = None) -> Path:
    """Write the authors' checkpoint of MCIBI, or of its baseline, as a file for `SceneParser`; return the file.

    Depth, context, slots and channels follow from the entries. The aggregation does not; it is "soft", the paper's
    choice.

    Args:
        classes: the class names in the order of the labels, which a checkpoint lacks; or a file with them
            (`likewise.io.class_lists.read_class_table`).
        out: the file; `path` with the suffix .safetensors by default. An existing file is not overwritten.

    Raises:
        WeightsError: a checkpoint that cannot be read or is not of MCIBI, another number of classes, or an existing
            file.
    """
    path = Path(path)
    names = tuple(read_class_table(classes).values()) if isinstance(classes, Path) else tuple(classes)
    try:
        state = from_checkpoint(read_state(path))
        section, count = scene_section(state)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a checkpoint of MCIBI ({error})") from error
    if len(names) != count:
        raise WeightsError(f"{path}: has {count} classes, but {len(names)} names are given; name each class")
    load_state(build_model(section, names), state, source=path)
    header = {"recipe": json.dumps({"model": section, "source": path.name}), "classes": json.dumps(names)}
    return write_weights(path, out, state, header)


def scene_section(state: dict[str, Tensor]) -> tuple[dict[str, Any], int]:
    """The recipe section of the scene network with these entries, and the number of its classes."""
    depth = 101 if any(name.startswith("backbone.net.layer3.22.") for name in state) else 50
    section: dict[str, Any] = {"backbone": f"resnet{depth}-stride8", "taps": ["layer3", "layer4"]}
    if "memory.vectors" not in state:
        kernels = [state[name] for name in sorted(state) if name.startswith("decoder.") and state[name].ndim == 4]
        top = next(kernel for kernel in kernels if kernel.shape[2] == 1)
        baseline = {"name": "fcn", "convolutions": len(kernels) - 1, "channels": top.shape[1]}
        return section | baseline, top.shape[0]
    classes, slots, channels = state["memory.vectors"].shape
    context = "aspp" if any(name.startswith("context.pooled.") for name in state) else "none"
    if context == "none" and any(name.startswith("context.") for name in state):
        context = "ppm"
    memory = {
        "name": "mcibi",
        "context": context,
        "channels": channels,
        "attention_channels": state["attend.0.value.0.weight"].shape[0],
        "slots": slots,
        "published": True,
    }
    return section | memory, classes


def write_weights(path: Path, out: str | Path | None, state: dict[str, Tensor], header: dict[str, str]) -> Path:
    """Write imported weights to `out`, or beside the checkpoint `path`; never over an existing file."""
    out = path.with_suffix(".safetensors") if out is None else Path(out)
    if out.exists():
        raise WeightsError(f"{out}: exists and is not overwritten; name another file with -o")
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(out) as part:
        part.write_bytes(save({name: value.contiguous() for name, value in state.items()}, header))
    return out
