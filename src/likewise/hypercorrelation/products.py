"""Inner products of support and query positions, by the fastest of several ways to them."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROUNDS = 8
"""How often each way to a product is timed before one is chosen, once in a process: 30 ms on a quiet machine."""


def product(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """All inner products, by the way that was fastest on this device."""
    return fastest_product(support.device, support.dtype, torch.get_num_threads())(support, query)


def by_matmul(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    return support @ query.T


def by_convolution(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """The support as a picture of `p` pixels with its channels last, the query as a 1x1 convolution's weights."""
    # Two columns: with one, no library can tell which axis of the picture is last.
    picture = F.pad(support, (0, 0, 0, len(support) % 2)).view(1, -1, 2, support.shape[1]).permute(0, 3, 1, 2)
    products = convolve1x1(picture, query[:, :, None, None])
    return products.permute(0, 2, 3, 1).reshape(-1, len(query))[: len(support)]


def by_planar_convolution(support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> Float[Tensor, "p q"]:
    """The query as a picture of `q` pixels with its channels first, the support as weights."""
    picture, weight = query.T.contiguous()[None, :, :, None], support[:, :, None, None]
    return convolve1x1(picture, weight)[0, :, :, 0]


def convolve1x1(x: Float[Tensor, "1 c h w"], weight: Float[Tensor, "d c 1 1"]) -> Float[Tensor, "1 d h w"]:
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        # With one thread F.conv2d hands these to the matrix product again.
        return torch.ops.aten.mkldnn_convolution(x, weight, None, (0, 0), (1, 1), (1, 1), 1)
    return F.conv2d(x, weight)


Product = Callable[[Tensor, Tensor], Tensor]


@functools.cache
def fastest_product(device: torch.device, dtype: torch.dtype, threads: int) -> Product:
    """Of the three ways, the fastest for a tile of usual size: the best of some runs of each, taken in turns.

    In turns, so that another program's busy moment does not fall on one way alone.
    """
    support, query = (torch.ones(count, 512, device=device, dtype=dtype) for count in (512, 768))
    ways: list[Product] = [by_matmul, by_convolution, by_planar_convolution]
    best = dict.fromkeys(ways, math.inf)
    for _ in range(ROUNDS):
        for way in ways:
            best[way] = min(best[way], seconds(way, support, query))
    return min(ways, key=best.__getitem__)


def seconds(way: Product, support: Float[Tensor, "p c"], query: Float[Tensor, "q c"]) -> float:
    begin = time.perf_counter()
    result = way(support, query)
    if result.device.type != "cpu":
        result[0, 0].item()  # waits until the device is done
    return time.perf_counter() - begin
