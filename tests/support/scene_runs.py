"""Folders of training runs of small scene networks with random weights."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from likewise.weights.build import build_model

CLASSES = ("sky", "left arm", "right arm", "road")
SECTIONS = {
    "mcibi": {
        "name": "mcibi",
        "backbone": "lite0-stride8",
        "taps": ["blocks.2.0", "blocks.2.1"],
        "channels": 16,
        "attention_channels": 8,
    },
    "fcn": {
        "name": "fcn",
        "backbone": "lite0-stride8",
        "taps": ["blocks.2.0", "blocks.2.1"],
        "convolutions": 1,
        "channels": 16,
    },
}


def write_run(folder: Path, kind: str = "mcibi", classes: Sequence[str] = CLASSES, side: int | None = None) -> Path:
    """Write the folder of a run of a small network with a filled memory."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(SECTIONS[kind], tuple(classes))
        if kind == "mcibi":
            model.memory.fill(torch.randn_like(model.memory.vectors))
        for name, parameter in model.named_parameters():  # otherwise all classes are about equally likely
            if name.endswith(("stage2.4.weight", "decoder.4.weight")):
                torch.nn.init.normal_(parameter, std=3)
    recipe = {"model": SECTIONS[kind], "data": {"kind": "scenes", "side": side}}
    header = {"recipe": json.dumps(recipe), "classes": json.dumps(list(classes)), "step": "1"}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "weights.safetensors", header
    )
    return folder
