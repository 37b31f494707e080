"""Inner products of support and query positions, negative ones set to 0, by the faster of two ways to them."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 8
"""How often each way to a product is timed before one is chosen, once in a process: 30 ms on a quiet machine."""


def rectified_product(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """All inner products, negative ones set to 0, by the way that was fastest on this device."""
    return fastest_way(support.device, support.dtype, torch.get_num_threads())(support, query)


def by_matmul(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    return (support @ query.T).relu_()


def by_fused_linear(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """A linear layer with the query as its weights: oneDNN's, to which torch leaves no float32 product by itself."""
    return torch.ops.mkldnn._linear_pointwise(support, query, None, "relu", [], "")


Way = Callable[[Tensor, Tensor], Tensor]


@functools.cache
def fastest_way(device: torch.device, dtype: torch.dtype, threads: int) -> Way:
    """Of the two, the faster for a tile of usual size: the best of some runs of each, taken in turns.

    In turns, so that another program's busy moment does not fall on one way alone.
    """
    support, query = (torch.ones(count, 512, device=device, dtype=dtype) for count in (512, 768))
    ways: list[Way] = [by_matmul]
    if device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # not in every build of torch
        ways.append(by_fused_linear)
    best = dict.fromkeys(ways, math.inf)
    for _ in range(ROUNDS):
        for way in ways:
            best[way] = min(best[way], seconds(way, support, query))
    return min(ways, key=best.__getitem__)


def seconds(way: Way, support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> float:
    begin = time.perf_counter()
    result = way(support, query)
    if result.device.type != "cpu":
        result[0, 0].item()  # waits until the device is done
    return time.perf_counter() - begin
