"""Export the bundled few-shot backbone to ONNX: src/likewise/weights/pretrained/panet-lite0.onnx.

    python tools/export_pretrained.py

    Backbone --> pixels in, taps out --> ONNX, weights in half precision --> .onnx with a card in its metadata

Run it after the weights change; it needs torch and onnx. The tests compare the file with the torch network. The graph
takes `images`, `(1, h, w, 3)` uint8 RGB, and normalises them. Sides must be multiples of the deepest stride.
"""

from __future__ import annotations

import copy
import json
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from onnx import TensorProto, helper, numpy_helper
from timm.layers import Conv2dSame
from torch import Tensor, nn

from likewise.backbones.taps import Backbone
from likewise.engine.onnx import FORMAT, KIND
from likewise.io.atomic import write_atomically
from likewise.weights import PRETRAINED
from likewise.weights.checkpoint import fingerprint as fingerprint_of
from likewise.weights.load import open_model
from likewise.weights.names import FEW_SHOT

ROOT = Path(__file__).resolve().parents[1]

OPSET = 17
"""ONNX operator set: ONNX Runtime reads it from 1.12 on."""


class PaddedConv2d(nn.Module):
    """`Conv2dSame` with a fixed padding, which is the same for inputs whose sides are multiples of its stride.

    timm computes the padding from the input's size, in Python, which an exporter freezes.
    """

    def __init__(self, same: Conv2dSame) -> None:
        super().__init__()
        self.same = same
        widths = [(kernel - 1) * rate + 1 - stride for kernel, rate, stride in _shapes(same)]
        (top, bottom), (left, right) = (divmod_padding(max(width, 0)) for width in widths)
        self.padding = (left, right, top, bottom)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d ho wo"]:
        same = self.same
        return F.conv2d(F.pad(x, self.padding), same.weight, same.bias, same.stride, 0, same.dilation, same.groups)


def _shapes(same: Conv2dSame) -> list[tuple[int, int, int]]:
    return [(same.kernel_size[axis], same.dilation[axis], same.stride[axis]) for axis in (0, 1)]


def divmod_padding(width: int) -> tuple[int, int]:
    """Padding before and after an axis; an odd pixel goes behind."""
    return width // 2, width - width // 2


class PixelsToTaps(nn.Module):
    """Normalisation and backbone in one module."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        net: Any = self.backbone.net
        for name, module in list(net.named_modules()):
            if isinstance(module, Conv2dSame):
                parent, _, last = name.rpartition(".")
                setattr(net.get_submodule(parent), last, PaddedConv2d(module))

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> list[Float[Tensor, "b _c _h _w"]]:
        return self.backbone(self.backbone.normalise(images))


def export_backbone(
    backbone: Backbone, path: str | Path, *, fingerprint: str | None = None, card: Mapping[str, str] | None = None
) -> None:
    """Write a backbone as an ONNX file that `OnnxBackbone` runs.

    Weights are stored in half precision where that changes none of them, else in single precision.

    Args:
        backbone: in evaluation mode, batch norm not folded: ONNX Runtime folds it.
        path: of the `.onnx` file.
        fingerprint: of the network that the backbone belongs to; concepts state it. Its own by default.
        card: further entries of the metadata, such as licence and commit.
    """
    multiple = max(tap.stride for tap in backbone.taps)
    example = torch.zeros(1, 4 * multiple, 6 * multiple, 3, dtype=torch.uint8)
    outputs = [tap.module for tap in backbone.taps]
    with write_atomically(path) as part:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # the tracer's, about branches on sizes that the graph's contract fixes
            torch.onnx.export(
                PixelsToTaps(backbone).eval(),
                (example,),
                part,
                input_names=["images"],
                output_names=outputs,
                dynamic_axes={"images": {0: "b", 1: "h", 2: "w"}}
                | {name: {0: "b", 2: "h", 3: "w"} for name in outputs},
                opset_version=OPSET,
                training=torch.onnx.TrainingMode.PRESERVE,  # keeps batch norm apart, so weights stay exact in half
                do_constant_folding=False,
                dynamo=False,
            )
        model = onnx.load(part)
        halve_weights(model)
        entries = {
            "kind": KIND,
            "format": str(FORMAT),
            "name": f"{backbone.spec.name}@{'+'.join(outputs)}",
            "fingerprint": fingerprint or fingerprint_of(backbone),
            "multiple": str(multiple),
            **(card or {}),
        }
        onnx.helper.set_model_props(model, entries)
        onnx.checker.check_model(model, full_check=True)
        part.write_bytes(model.SerializeToString())


def halve_weights(model: Any) -> None:
    """Store single-precision weights in half precision, cast back on loading, where that is exact."""
    casts, kept = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        half = values.astype(np.float16) if values.dtype == np.float32 and values.size > 1 else values
        if half.dtype == values.dtype or not np.array_equal(half.astype(np.float32), values):
            kept.append(weight)
            continue
        kept.append(numpy_helper.from_array(half, f"{weight.name}.half"))
        casts.append(helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def main() -> None:
    name = "panet-lite0"
    network = open_model(name, FEW_SHOT).network
    record = json.loads((PRETRAINED / f"{name}.json").read_text())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    path = PRETRAINED / f"{name}.onnx"
    card = {
        "weights": name,
        "commit": commit.stdout.strip(),
        "licence": json.dumps(record.get("licence", record.get("licences", ""))),
    }
    export_backbone(network.backbone, path, fingerprint=fingerprint_of(network), card=card)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
