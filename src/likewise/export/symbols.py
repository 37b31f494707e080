"""ONNX for operations of torch that torch's exporter lacks."""

from __future__ import annotations

from typing import Any

import torch


def sorted_by_topk(graph: Any, values: Any, stable: Any, dim: Any, descending: Any) -> Any:
    """ONNX for a stable descending argsort of a vector, which the exporter lacks: TopK orders ties by their index."""
    length = graph.op("Gather", graph.op("Shape", values), graph.op("Constant", value_t=torch.tensor([0])))
    return graph.op("TopK", values, length, axis_i=0, largest_i=1, sorted_i=1, outputs=2)[1]


def antialiased_resize(graph: Any, planes: Any, size: Any, align_corners: Any, scales: Any) -> Any:
    """ONNX for the antialiased bilinear resize of 8-bit planes, which the exporter lacks: as Pillow's, rounded."""
    ends = graph.op("Constant", value_t=torch.tensor([2]))
    kept = graph.op("Slice", graph.op("Shape", planes), graph.op("Constant", value_t=torch.tensor([0])), ends)
    empty = graph.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
    return graph.op(
        "Resize",
        planes,
        empty,
        empty,
        graph.op("Concat", kept, size, axis_i=0),
        antialias_i=1,
        coordinate_transformation_mode_s="half_pixel",
        mode_s="linear",
    )
