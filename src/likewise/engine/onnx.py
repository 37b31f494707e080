"""Exported networks, run by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from likewise.engine.protocol import Features, Vectors
from likewise.errors import ModelError, WeightsError
from likewise.io.digests import short_digest
from likewise.io.resize import resize_image
from likewise.ops.hypercorrelation.masks import level_masks
from likewise.ops.hypercorrelation.products import operands
from likewise.ops.hypercorrelation.supports import Support, SupportLevel

BACKBONE, SALIENCY, SCENE = "likewise backbone", "likewise saliency", "likewise scene"
VECTORS, GROUP_MASK, CONCEPT = "likewise group vectors", "likewise group mask", "likewise concept"
UNITS, LOGITS = "likewise unit features", "likewise correlations"
MARKS = "likewise marks"
"""Values of `kind` in the metadata of the files that `likewise.export` writes."""
SEMANTIC = "semantic"
"""Name of a backbone's last output if that is no tap (`likewise.engine.protocol.Features`)."""
FORMAT = 1
"""Version of the metadata."""
OLDEST = (1, 17)
"""The oldest version of ONNX Runtime that runs with the versions of numpy that we need."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""ONNX Runtime's execution providers by the names of devices; others go by ONNX Runtime's own names."""


class OnnxGraph:
    """A graph exported by likewise.

    Args:
        path: the `.onnx` file.
        kind: what the graph must be.
        device: a key of `PROVIDERS`, or the name of one of ONNX Runtime's execution providers.

    Attributes:
        card: the metadata.

    Raises:
        WeightsError: no such file, a damaged one, or one that is not a graph of this kind.
        ModelError: ONNX Runtime is too old, or has no such execution provider.
    """

    def __init__(self, path: str | Path, kind: str, *, device: str = "cpu") -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise WeightsError(f"{path}: no such file; give the path of an exported .onnx file")
        self.session: Any = open_session(self.path, device)
        self.card: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        if self.card.get("kind") != kind:
            found = self.card.get("kind", "an ONNX model that likewise did not export")
            raise WeightsError(f"{path}: needs to be a {kind}, but is {found} (SHA-256 {short_digest(self.path)}...)")
        if int(self.card["format"]) > FORMAT:
            raise WeightsError(
                f"{path}: has format {self.card['format']}, this version reads {FORMAT}; update likewise"
            )
        self.name, self.fingerprint = self.card["name"], self.card["fingerprint"]

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> list[np.ndarray]:
        """Return all outputs, or some: nothing is computed then that these do not need."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = outputs is not None
        feeds = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        return self.session.run(outputs, feeds, options)


class OnnxBackbone:
    """A backbone, as a `FeatureExtractor`; arguments and errors are those of `OnnxGraph`."""

    engine = "onnx"

    def __init__(self, path: str | Path, *, device: str = "cpu") -> None:
        self.graph = OnnxGraph(path, BACKBONE, device=device)
        self.name, self.fingerprint, self.card = self.graph.name, self.graph.fingerprint, self.graph.card
        self.multiple = int(self.card["multiple"])
        outputs = self.graph.session.get_outputs()
        self.taps = [output.name for output in outputs if output.name != SEMANTIC]
        self.channels = sum(output.shape[1] for output in outputs[: len(self.taps)])
        self.semantic_channels = outputs[-1].shape[1]

    def features(self, images: UInt8[np.ndarray, "b h w 3"]) -> Features:
        """Return the features of RGB images whose sides are multiples of `multiple`."""
        outputs = self.graph.run({"images": images})
        return Features(outputs[: len(self.taps)], outputs[-1])

    def levels(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return the taps alone, which is faster."""
        return self.graph.run({"images": images}, self.taps)

    def __repr__(self) -> str:
        return f"OnnxBackbone({self.name!r})"


class OnnxCorrelationNetwork:
    """An HSNet, as a `CorrelationNetwork`; errors are those of `OnnxGraph`.

    Args:
        units, logits: the files of the backbone and of what follows it.
        rescue: see `likewise.models.hsnet.HSNetConfig`.
    """

    engine = "onnx"

    def __init__(self, units: str | Path, logits: str | Path, *, device: str = "cpu", rescue: bool = True) -> None:
        self.first = OnnxGraph(units, UNITS, device=device)
        self.second = OnnxGraph(logits, LOGITS, device=device)
        if self.first.fingerprint != self.second.fingerprint:
            raise WeightsError(f"{units} and {logits} have different weights; export both again")
        card = self.first.card
        self.backbone, self.fingerprint, self.side = card["backbone"], self.first.fingerprint, int(card["side"])
        channels: Mapping[str, Sequence[int]] = json.loads(card["channels"])
        self.channels: Mapping[int, Sequence[int]] = {int(stride): own for stride, own in channels.items()}
        layers: Mapping[str, Sequence[tuple[int, int]]] = json.loads(card["layers"])
        self.layers = {int(stride): [(side, step) for side, step in own] for stride, own in layers.items()}
        self.masked, self.rescue = bool(int(card["masked"])), rescue

    def encode_support(self, image: UInt8[np.ndarray, "h w 3"], foreground: Bool[np.ndarray, "h w"]) -> Support:
        """Return the foreground features of an example."""
        units = self.units(image[None], self.anywhere())
        if self.masked:
            planes = {stride: own.shape[2:] for stride, own in zip(self.channels, units, strict=True)}
            masks = level_masks(foreground[None].astype(np.float32), planes, rescue=self.rescue)
            units = self.units(image[None], [masks[stride] for stride in self.channels])
        levels = {}
        for (stride, channels), own in zip(self.channels.items(), units, strict=True):
            levels[stride] = SupportLevel.of(np.split(own[0], np.cumsum(channels)[:-1]))
        return Support(levels)

    def prepare(self, support: Support) -> dict[str, np.ndarray]:
        """Return the support's inputs of the second graph."""
        return operands(support, self.layers)

    def encode_query(self, images: UInt8[np.ndarray, "b h w 3"]) -> list[dict[str, np.ndarray]]:
        """Return each image's inputs of the second graph."""
        units = self.units(images, self.anywhere())
        names = [f"units{stride}" for stride in self.channels]
        return [{name: own[index] for name, own in zip(names, units, strict=True)} for index in range(len(images))]

    def logits(
        self, query: dict[str, np.ndarray], supports: Sequence[dict[str, np.ndarray]]
    ) -> list[Float32[np.ndarray, "2 h w"]]:
        """Return logits of background and foreground for each shot."""
        return [self.second.run(query | support)[0] for support in supports]

    def units(
        self, images: UInt8[np.ndarray, "b h w 3"], masks: Sequence[Float32[np.ndarray, "#b _h _w"]]
    ) -> list[Float32[np.ndarray, "b _c _h _w"]]:
        """Return the unit features of images under masks, the taps of each stride concatenated."""
        names = [f"masks{stride}" for stride in self.channels]
        return self.first.run({"images": images} | dict(zip(names, masks, strict=True)))

    def anywhere(self) -> list[Float32[np.ndarray, "1 1 1"]]:
        """Return masks that hide nothing."""
        return [np.ones((1, 1, 1), np.float32) for _ in self.channels]


class OnnxSaliencyNetwork:
    """A saliency network, as a `SaliencyNetwork`; arguments and errors are those of `OnnxGraph`."""

    def __init__(self, path: str | Path, *, device: str = "cpu") -> None:
        self.graph = OnnxGraph(path, SALIENCY, device=device)
        self.name, self.fingerprint = self.graph.name, self.graph.fingerprint
        self.side = int(self.graph.card["side"])

    def plane(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "hp wp"]:
        """Return the probability map of the whole image, at the network's own size."""
        return self.graph.run({"images": resize_image(image, self.side, self.side)[None]})[0][0]


class OnnxGroupNetwork:
    """ICNet's two passes, as a `GroupNetwork`; errors are those of `OnnxGraph`.

    Args:
        vectors, masks: the files of the first and of the second pass.
    """

    engine = "onnx"

    def __init__(self, vectors: str | Path, masks: str | Path, *, device: str = "cpu") -> None:
        self.first = OnnxGraph(vectors, VECTORS, device=device)
        self.second = OnnxGraph(masks, GROUP_MASK, device=device)
        if self.first.fingerprint != self.second.fingerprint:
            raise WeightsError(f"{vectors} and {masks} have different weights; export both again")
        self.name, self.fingerprint = self.first.name, self.first.fingerprint
        self.side = int(self.first.card["side"])

    def encode(self, image: UInt8[np.ndarray, "s s 3"], sism: Float32[np.ndarray, "s s"]) -> Vectors:
        """Return the vectors of one image under its saliency map."""
        strides = [int(output.name.removeprefix("vectors")) for output in self.first.session.get_outputs()]
        return dict(zip(strides, self.first.run({"images": image[None], "maps": sism[None]}), strict=True))

    def segment(
        self, image: UInt8[np.ndarray, "s s 3"], sism: Float32[np.ndarray, "s s"], group: Vectors
    ) -> Float32[np.ndarray, "s s"]:
        """Return the probability of the group's common object."""
        vectors = {f"vectors{stride}": value for stride, value in group.items()}
        return self.second.run({"images": image[None], "maps": sism[None], **vectors})[0][0]


class OnnxSceneNetwork:
    """A scene network, as a `SceneNetwork`; arguments and errors are those of `OnnxGraph`."""

    engine = "onnx"

    def __init__(self, path: str | Path, *, device: str = "cpu") -> None:
        self.graph = OnnxGraph(path, SCENE, device=device)
        self.name, self.fingerprint = self.graph.name, self.graph.fingerprint
        card = self.graph.card
        self.classes, self.side = tuple(json.loads(card["classes"])), int(card["side"])
        self.labels = tuple(json.loads(card["labels"]))

    def probabilities(self, images: UInt8[np.ndarray, "b h w 3"]) -> Float32[np.ndarray, "b k h w"]:
        """Return the probability of each class at every pixel, for images of any size."""
        return self.graph.run({"images": images})[0]


def open_session(path: Path, device: str) -> Any:
    """Return ONNX Runtime's session of a file; see `OnnxGraph`."""
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < OLDEST:
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} is installed, {'.'.join(map(str, OLDEST))} or later is needed: "
            "pip install --upgrade onnxruntime"
        )
    installed = onnxruntime.get_available_providers()
    provider = PROVIDERS.get(device, device)
    if provider not in installed:
        raise ModelError(
            f"device {device!r} cannot be used: ONNX Runtime has no {provider!r} here, only {', '.join(installed)}"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # spinning threads take the cores that read, refine and write: a folder then runs at half the rate
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise WeightsError(
            f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load it ({str(error).splitlines()[0]}); its "
            f"SHA-256 is {short_digest(path)}...: reinstall likewise, or export the model again"
        ) from error
