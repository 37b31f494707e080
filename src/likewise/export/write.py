"""Graphs as ONNX files: weights in half precision where that is exact, and a card in the metadata."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from likewise.engine.onnx import FORMAT
from likewise.export.symbols import antialiased_resize, sorted_by_topk
from likewise.io.atomic import write_atomically

OPSET = 18
"""ONNX operator set, the first with antialiased resizes; ONNX Runtime reads it from 1.14 on."""

Axes = dict[str, dict[int, str]]
"""The free axes of inputs and outputs, by name and position."""


def write_graph(
    module: nn.Module,
    examples: Sequence[Tensor],
    path: str | Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Axes,
    card: Mapping[str, str],
    weights: Sequence[Path] = (),
) -> None:
    """Write a module of `likewise.export.graphs` as an ONNX file that `likewise.engine.onnx.OnnxGraph` runs.

    Args:
        module: in evaluation mode, batch norm not folded: ONNX Runtime folds it.
        examples: a tensor for each input.
        card: entries of the metadata; "kind" says what the graph is.
        weights: safetensors or ONNX files in the folder of `path`. The graph refers to their entries, and holds only
            what they lack.
    """
    with write_atomically(path) as part:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # the tracer's, about branches on sizes that the graph's contract fixes
            torch.onnx.register_custom_op_symbolic("aten::argsort", sorted_by_topk, OPSET)
            torch.onnx.register_custom_op_symbolic("aten::_upsample_bilinear2d_aa", antialiased_resize, OPSET)
            torch.onnx.export(
                module.eval(),
                tuple(examples),
                part,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                training=torch.onnx.TrainingMode.PRESERVE,  # keeps batch norm apart, so weights stay exact in half
                do_constant_folding=False,
                dynamo=False,
            )
        model = onnx.load(part)
        halve_weights(model, {key: place for file in weights for key, place in locate_entries(file).items()})
        merge_equal_nodes(model)
        onnx.helper.set_model_props(model, {"format": str(FORMAT), **card})
        part.write_bytes(model.SerializeToString())


def halve_weights(model: Any, entries: Mapping[bytes, tuple[str, int, int]]) -> None:
    """Store single-precision weights in half precision, cast back on loading, where that is exact.

    Weights that are among the `entries` of `locate_entries` become references to their file.
    """
    casts, kept = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        half = values.astype(np.float16) if values.dtype == np.float32 and values.size > 1 else values
        stored = weight
        if half.dtype != values.dtype and np.array_equal(half.astype(np.float32), values):
            stored = numpy_helper.from_array(half, f"{weight.name}.half")
            casts.append(helper.make_node("Cast", [stored.name], [weight.name], to=TensorProto.FLOAT))
        if values.size > 1 and (place := entries.get(numpy_helper.to_array(stored).tobytes())):
            stored.ClearField("raw_data")
            stored.data_location = TensorProto.EXTERNAL
            for key, value in zip(("location", "offset", "length"), place, strict=True):
                stored.external_data.add(key=key, value=str(value))
        kept.append(stored)
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def merge_equal_nodes(model: Any) -> None:
    """Keep one of several equal weights, and one of several nodes with the same operator, inputs and attributes."""
    names: dict[str, str] = {}
    seen: dict[Any, Any] = {}
    weights, nodes = [], []
    for weight in model.graph.initializer:
        content = onnx.TensorProto()
        content.CopyFrom(weight)
        content.ClearField("name")
        first = seen.setdefault(content.SerializeToString(), weight)
        names[weight.name] = first.name
        if first is weight:
            weights.append(weight)
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        inputs = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        attributes = sorted(attribute.SerializeToString() for attribute in node.attribute)
        first = seen.setdefault((node.op_type, tuple(inputs), tuple(attributes)), node)
        if first is node or outputs & set(node.output):
            nodes.append(node)
        else:
            names |= zip(node.output, first.output, strict=True)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(weights)
    model.graph.node.extend(nodes)


def locate_entries(path: Path) -> dict[bytes, tuple[str, int, int]]:
    """Return the place (file name, offset, length) of each entry of a safetensors or ONNX file, by its bytes."""
    content = path.read_bytes()
    if path.suffix == ".onnx":
        weights = [weight.raw_data for weight in onnx.load(path, load_external_data=False).graph.initializer]
        return {own: (path.name, content.index(own), len(own)) for own in weights if own}
    (length,) = struct.unpack("<Q", content[:8])
    header, start = json.loads(content[8 : 8 + length]), 8 + length
    spans = (start + np.array(entry["data_offsets"]) for name, entry in header.items() if name != "__metadata__")
    return {content[first:last]: (path.name, int(first), int(last - first)) for first, last in spans}
