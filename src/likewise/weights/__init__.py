"""Weights: which network a model name stands for, and how its weights are found, read and checked."""

DEFAULT_MODEL = "hsnet-lite0"
"""The default few-shot model."""
DEFAULT_GROUP_MODEL = "icnet-lite0"
"""The default co-saliency model."""
DEFAULT_SALIENCY = "saliency-lite0"
"""The default model of single-image saliency maps."""
