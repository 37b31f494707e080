"""Fast undocumented torch operators, each with the documented operator that replaces it.

Set `FAST` to False to use documented operators only. Each operator is tried once per process and never timed, so
results do not depend on the load of the machine. Each gain is the time of a query without the operator divided by the
time with it, on an AMD EPYC (Zen 4), with one thread unless stated, with AVX-512 and limited to AVX2. The switch also
controls two optimisations that are not operators: `one_thread_each` in `fast.threads`, and `keep_freed_memory` in
`likewise.predict.network_setup`.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

FAST = True
"""Whether the undocumented operators and the two other optimisations are used."""


def convolve3d(
    x: Float[Tensor, "b c x y z"],
    weight: Float[Tensor, "d c i j k"],
    bias: Float[Tensor, " d"] | None,
    stride: tuple[int, int, int],
    padding: tuple[int, int, int],
) -> Float[Tensor, "b d xo yo zo"]:
    """Return the result of `F.conv3d`, in float32 from oneDNN.

    `F.conv3d` processes a single small input in float32 with a slow loop instead of oneDNN.

    Gain: HSNet on ResNet-50, one shot, 400x400, float32: 1.42 with AVX-512, 1.33 with AVX2. None in bfloat16, which
    therefore uses `F.conv3d`.
    """
    if FAST and x.device.type == "cpu" and x.dtype == torch.float32 and has_onednn_convolution():
        return torch.ops.aten.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, stride, padding)


def column_moments(rows: Float[Tensor, "n w"]) -> tuple[Float32[Tensor, " w"], Float32[Tensor, " w"]]:
    """Return mean and biased variance of each column, in single precision.

    `batch_norm_update_stats` reads rows; `torch.var_mean` reads one column after the other.

    Gain: HSNet on ResNet-50, one shot, 400x400: 1.11 in float32 with AVX-512, 1.12 with AVX2; 1.07 in bfloat16.
    """
    if FAST and rows.device.type == "cpu" and has_column_moments(rows.dtype):
        running = torch.zeros(2, rows.shape[1])  # unused, but they set the precision of the result
        return torch.ops.aten.batch_norm_update_stats(rows, *running, 0.0)
    variance, mean = torch.var_mean(rows.float(), dim=0, correction=0)
    return mean, variance


@functools.cache
def has_onednn_convolution() -> bool:
    """Return whether the 3D convolution of oneDNN runs in float32 in this build of torch, on this processor."""
    x = torch.ones(1, 2, 3, 3, 2).contiguous(memory_format=torch.channels_last_3d)
    shape = (1, 1, 0), (1, 1, 1), (1, 1, 1), 1
    return _runs(lambda: torch.ops.aten.mkldnn_convolution(x, torch.ones(2, 2, 3, 3, 1), None, *shape))


@functools.cache
def has_column_moments(dtype: torch.dtype) -> bool:
    """Return whether torch runs `batch_norm_update_stats` on rows of the given type."""
    rows = torch.ones(3, 2, dtype=dtype)
    return _runs(lambda: torch.ops.aten.batch_norm_update_stats(rows, *torch.zeros(2, 2), 0.0))


def _runs(operator: Callable[[], object]) -> bool:
    try:
        with torch.inference_mode():
            operator()
    except (RuntimeError, AttributeError):  # NotImplementedError is a RuntimeError
        return False
    return True
