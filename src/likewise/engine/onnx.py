"""Backbones as ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from likewise.errors import ModelError, WeightsError

KIND = "likewise backbone"
"""Value of `kind` in the metadata of the files that `tools/export_pretrained.py` writes."""
FORMAT = 1
"""Version of the metadata."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""ONNX Runtime's execution providers by the names of devices; others go by ONNX Runtime's own names."""


class OnnxBackbone:
    """A backbone exported by `tools/export_pretrained.py`.

    Args:
        path: the `.onnx` file.
        device: a key of `PROVIDERS`, or the name of one of ONNX Runtime's execution providers.

    Raises:
        WeightsError: no such file, a damaged one, or one that is not an exported backbone.
        ModelError: an execution provider that is not installed.
    """

    engine = "onnx"

    def __init__(self, path: str | Path, *, device: str = "cpu") -> None:
        import onnxruntime

        self.path = Path(path)
        if not self.path.is_file():
            raise WeightsError(f"{path}: no such file; give the path of an exported .onnx backbone")
        installed = onnxruntime.get_available_providers()
        provider = PROVIDERS.get(device, device)
        if provider not in installed:
            raise ModelError(
                f"device {device!r} cannot be used: ONNX Runtime has no {provider!r} here, only {', '.join(installed)}"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self.session: Any = onnxruntime.InferenceSession(str(self.path), options, providers=[provider])
        except Exception as error:  # ONNX Runtime's errors have no public base class
            digest = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]
            raise WeightsError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load it ({str(error).splitlines()[0]}); its "
                f"SHA-256 starts with {digest}: reinstall likewise, or export the model again"
            ) from error
        card = self.session.get_modelmeta().custom_metadata_map
        if card.get("kind") != KIND:
            raise WeightsError(f"{path}: an ONNX model, but not a backbone exported by likewise")
        if int(card["format"]) > FORMAT:
            raise WeightsError(f"{path}: has format {card['format']}, this version reads {FORMAT}; update likewise")
        self.card = dict(card)
        self.name, self.fingerprint, self.multiple = card["name"], card["fingerprint"], int(card["multiple"])
        self.channels = sum(output.shape[1] for output in self.session.get_outputs())

    def features(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return each tap's feature map, shallow to deep, of RGB images whose sides are multiples of `multiple`."""
        return self.session.run(None, {"images": np.ascontiguousarray(images)})

    def __repr__(self) -> str:
        return f"OnnxBackbone({self.name!r})"
