"""Weights: which network a model name stands for, and how its weights are found, read and checked."""

from pathlib import Path

PRETRAINED = Path(__file__).parent / "pretrained"
"""Bundled weights, `<model>.safetensors` and `.onnx`, each with a model card, `<model>.json`."""
PRESENCE = 0.3
"""Default of `FewShot`'s `presence`: below one half, since a lost object costs more than a wrong mask. The lowest at
which one example marks less than a fifth of the images that chose it and lack its class (experiments/18-presence)."""
DEFAULT_MODEL = "prototypes-lite0"
"""The default few-shot model."""
DEFAULT_GROUP_MODEL = "icnet-lite0"
"""The default co-saliency model."""
DEFAULT_SALIENCY = "saliency-lite0"
"""The default model of single-image saliency maps."""
