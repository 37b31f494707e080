"""Folders of training runs of few-shot networks with random weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from likewise.backbones.specs import backbone_spec
from likewise.models.hsnet import HSNet, HSNetConfig
from likewise.train.recipes.sections import HSNetModel
from likewise.weights.imagenet import load_backbone

FIRST_TAP = "blocks.2.0"


def make_hsnet_run(folder: Path, *, seed: int = 0, classes: Sequence[str] = (), **config: Any) -> Path:
    """Write the folder of a run of a small HSNet."""
    spec = backbone_spec("lite0")
    modules = [tap.module for tap in spec.taps]
    spec = spec.with_taps(*modules[modules.index(FIRST_TAP) :])
    chosen = {"channels": (4, 8, 8), **config}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = HSNet(load_backbone(spec), HSNetConfig(**chosen))
    section = HSNetModel(name="hsnet", backbone="lite0", first_tap=FIRST_TAP, **chosen)
    recipe = {"name": "hsnet-small", "model": section.model_dump(mode="json")}
    header = {"recipe": json.dumps(recipe), "classes": json.dumps(list(classes))}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "weights.safetensors", metadata=header)
    return folder
