"""Saliency models in ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from likewise.backbones.specs import IMAGENET_MEAN, IMAGENET_STD
from likewise.errors import ModelError
from likewise.io.resize import resize_image

FREE_SIDE = 320
"""Input side in pixels for models with a free input size; most public saliency models are trained at it."""


class OnnxSaliency:
    """A saliency model in an ONNX file: its first output is the map.

    The model takes one image, `(1, 3, h, w)` float32, normalised with ImageNet's mean and standard deviation. Its size
    is the one that the model states, or 320 x 320. The first output is one plane: probabilities if all values of the
    plane are in [0, 1], otherwise logits.

    Raises:
        ModelError: the file cannot be loaded, or has another input.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        import onnxruntime

        if not path.is_file():
            raise ModelError(f"{path}: no such file; give the path of an ONNX saliency model")
        try:
            self.session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no public common class
            raise ModelError(f"{path}: cannot be loaded as an ONNX model ({str(error).splitlines()[0]})") from error
        inputs = self.session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            shown = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise ModelError(f"{path}: takes {shown}; a saliency model takes one image of shape (1, 3, h, w)")
        self.path, self.name = path, path.name
        self.fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        self.input = inputs[0].name
        self.height, self.width = (side if isinstance(side, int) else FREE_SIDE for side in shape[2:])

    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 1 hp wp"]:
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
        plane = torch.from_numpy(output.reshape(1, 1, *output.shape[-2:]).copy())
        return plane if plane.min() >= 0 and plane.max() <= 1 else plane.sigmoid()
