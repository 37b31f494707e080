"""Saliency models of others in ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.backbones.normalisation import IMAGENET_MEAN, IMAGENET_STD
from likewise.engine.onnx import open_session
from likewise.errors import ModelError
from likewise.io.digests import short_digest
from likewise.io.resize import resize_image
from likewise.ops.prototypes import sigmoid

FREE_SIDE = 320
"""Input side in pixels for models with a free input size; most public saliency models are trained at it."""


class OnnxSaliency:
    """A saliency model in an ONNX file: its first output is the map.

    The model takes one image, `(1, 3, h, w)` float32, normalised with ImageNet's mean and standard deviation. Its size
    is the one that the model states, or 320 x 320. The first output is one plane: probabilities if all values of the
    plane are in [0, 1], otherwise logits.

    Raises:
        ModelError: no such file, or a model with another input.
        WeightsError: a file that ONNX Runtime cannot load.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"{path}: no such file; give the path of an ONNX saliency model")
        self.session: Any = open_session(path, "cpu")
        inputs = self.session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            shown = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise ModelError(f"{path}: takes {shown}; a saliency model takes one image of shape (1, 3, h, w)")
        self.path, self.name = path, path.name
        self.fingerprint = short_digest(path)
        self.input = inputs[0].name
        self.height, self.width = (side if isinstance(side, int) else FREE_SIDE for side in shape[2:])

    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "hp wp"]:
        """The probability map at the size of the model's output.

        Raises:
            ModelError: the output is not one plane.
        """
        pixels = resize_image(image, self.height, self.width).astype(np.float32) / 255
        pixels = (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
        output = np.asarray(self.session.run(None, {self.input: pixels.transpose(2, 0, 1)[None]})[0], np.float32)
        if output.ndim < 2 or output.size != output.shape[-2] * output.shape[-1]:
            raise ModelError(
                f"{self.path}: the first output has shape {output.shape}; a saliency model's is one plane (1, 1, h, w)"
            )
        plane = output.reshape(output.shape[-2:])
        return plane if plane.min() >= 0 and plane.max() <= 1 else sigmoid(plane)
