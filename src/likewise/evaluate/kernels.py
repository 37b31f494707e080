"""The three 4D kernels of HSNet's Table 4 in one network: parameters, arithmetic, time and memory.

The table is of ResNet-101 at 400x400. Parameters here are of the same network and agree for full and center-pivot. The
paper does not say how its separable kernel is made: ours is the shortest one, a planar convolution after the other.
FLOPs here are multiplications and additions, two for each weight used, of everything after the backbone but the
correlations; the paper's are multiplications, those of the full kernel before it strides (ours counted so: 699 G,
24.5 G and 18.1 G for its 702.35, 28.40 and 20.56). So ours costs what the paper's separable kernel does beside
center-pivot, to 2%, but has 2.9 M parameters: no chain of up to four factors over either plane or both has its 4.4 M
at its cost.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from likewise.errors import check_known
from likewise.models import hsnet
from likewise.models.hsnet import STRIDES, HSNet, HSNetConfig
from likewise.ops.hypercorrelation.kernels import KERNELS, full_kernel

PAPER = {
    "full": ("11.3 M", "702.35 G", "512 ms", "4.12 GB"),
    "separable": ("4.4 M", "28.40 G", "28.5 ms", "1.50 GB"),
    "center-pivot": ("2.6 M", "20.56 G", "25.5 ms", "1.39 GB"),
}
"""Table 4, on a Titan Xp: parameters, FLOPs, time and memory."""

NETWORKS: dict[str, Any] = {
    "lite0": hsnet.lite0,
    "vgg16": hsnet.vgg16,
    "resnet50": lambda config: hsnet.resnet(50, config),
    "resnet101": lambda config: hsnet.resnet(101, config),
}

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Cost:
    """Of one pass from the hypercorrelation to the logits.

    Attributes:
        parameters: those that learn.
        flops: multiplications and additions.
        seconds: on the clock, the quickest of some passes.
        memory: bytes at the peak above those before the first pass; None where the system does not tell.
    """

    parameters: int
    flops: int
    seconds: float
    memory: int | None


def measure_apart(kernel: str, backbone: str, size: int, repeats: int, device: str = "cpu") -> Cost:
    """`measure` in a fresh process, so that one kernel's peak does not hide another's.

    Raises:
        ValueError: an unknown kernel or backbone.
    """
    check_known(kernel, KERNELS, "4D kernel")
    check_known(backbone, NETWORKS, "HSNet to measure")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, kernel, backbone, size, repeats, device, torch.get_num_threads()).result()


@torch.inference_mode()
def measure(kernel: str, backbone: str, size: int, repeats: int, device: str, threads: int) -> Cost:
    """What one kernel's network costs in this process, which should be fresh: the peak is that of its whole life."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = NETWORKS[backbone](HSNetConfig(kernel=kernel)).eval().to(device)
    levels = [level.to(device) for level in pyramid(model, size)]

    def run() -> None:
        model.decode(model.squeeze_and_mix(*levels), (size, size))
        if model_device.type == "cuda":
            torch.cuda.synchronize(model_device)

    model_device = levels[0].device
    before = held(model_device)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    peak = peak_memory(model_device)
    with FlopCounterMode(display=False) as counter:
        run()
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    memory = None if before is None or peak is None else peak - before
    return Cost(parameters, counter.get_total_flops(), min(times), memory)


def pyramid(model: HSNet, size: int) -> list[Float[Tensor, "1 _t _hq _wq _hs _ws"]]:
    """Random hypercorrelations of the shapes that two images of `size` x `size` give."""
    generator = torch.Generator().manual_seed(0)
    strides = [tap.stride for tap in model.backbone.taps]
    sides = {stride: -(-size // stride) for stride in STRIDES}
    return [torch.rand(1, strides.count(s), *(sides[s],) * 4, generator=generator) for s in STRIDES]


def held(device: torch.device) -> int | None:
    """Bytes in use now."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else status_of_process("VmRSS")


def peak_memory(device: torch.device) -> int | None:
    """Bytes in use at most, since the process began."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else status_of_process("VmHWM")


def status_of_process(what: str) -> int | None:
    """A size in Linux's account of this process; None on other systems."""
    if not STATUS.is_file():
        return None
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


@torch.no_grad()
def largest_difference(kernel: str) -> float:
    """Between a cheap kernel and the full one that has its weights, relative to the largest value."""
    worst = 0.0
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 6, 9, 8, 13, 12, generator=generator)
    for side, stride in ((3, 1), (3, 2), (5, 4)):
        cheap: Any = KERNELS[kernel](6, 16, kernel=side, stride=stride)
        expected = full_kernel(cheap)(x)
        worst = max(worst, ((cheap(x) - expected).abs().max() / expected.abs().max()).item())
    return worst
