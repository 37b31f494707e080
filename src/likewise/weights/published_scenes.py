"""The published checkpoints of MCIBI and its baseline, kept as a run's weights, which `SceneParser` takes.

checkpoint.pth, class names --> import_scene_checkpoint --> checkpoint.safetensors, which names network and classes
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from likewise.data.scene_folders import read_class_table
from likewise.errors import WeightsError
from likewise.io.atomic import write_atomically
from likewise.models.mcibi import from_checkpoint
from likewise.weights.checkpoint import load_state, read_state
from likewise.weights.load import TRAINED


def import_scene_checkpoint(path: str | Path, classes: Sequence[str] | Path, out: str | Path | None = None) -> Path:
    """Write the authors' checkpoint of MCIBI on ResNet as a safetensors file for `SceneParser`; gives the file.

    Depth, context, slots and channels follow from the entries. Whether classes are read "hard" does not: "soft" is
    taken, the paper's choice.

    Args:
        classes: their names in the order of the labels, which the checkpoint does not hold; or a file of them
            (`folder_scenes`).
        out: the file; `path` with the suffix .safetensors unless given. Nothing is overwritten.

    Raises:
        WeightsError: a checkpoint that cannot be read or is not of MCIBI, other than so many classes, or a file that
            exists.
    """
    path = Path(path)
    out = path.with_suffix(".safetensors") if out is None else Path(out)
    names = tuple(read_class_table(classes).values()) if isinstance(classes, Path) else tuple(classes)
    try:
        state = from_checkpoint(read_state(path))
        section, count = published_section(state)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a checkpoint of MCIBI ({error})") from error
    if len(names) != count:
        raise WeightsError(f"{path}: tells {count} classes apart, and {len(names)} names are given; name each of them")
    load_state(TRAINED[section["name"]](section, names), state, source=path)
    if out.exists():
        raise WeightsError(f"{out}: exists and is not overwritten; name another file with -o")
    header = {"recipe": json.dumps({"model": section, "source": path.name}), "classes": json.dumps(names)}
    with write_atomically(out) as part:
        save_file({name: value.contiguous() for name, value in state.items()}, part, header)
    return out


def published_section(state: dict[str, Tensor]) -> tuple[dict[str, Any], int]:
    """The recipe section of the network whose entries these are, and how many classes it has."""
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
