"""Compare HSNet's three 4D kernels: parameters, arithmetic, time and memory, beside Table 4 of the paper.

Each kernel runs in its own process, from the hypercorrelation to the logits.

    python benchmarks/kernels.py [--backbone resnet101] [--size 400] [--repeats 3] [--device cpu]

The table measures ResNet-101 at 400x400. The parameters of this network agree with it for the full and the center-pivot
kernel. The paper does not specify its separable kernel; this one is a planar convolution followed by another. It costs
as much relative to center-pivot as in the paper, to 2%, but has 2.9 M parameters: no chain of up to four factors over
the planes has the 4.4 M of the paper at that cost.

FLOPs are multiplications and additions, two for each weight used, from the correlations (left out) to the logits.
The paper counts multiplications only, those of the full kernel before striding; counted that way these networks need
699 G, 24.5 G and 18.1 G (paper: 702.35 G, 28.40 G and 20.56 G).
"""

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from likewise.models import hsnet
from likewise.models.hsnet import STRIDES, HSNet
from likewise.ops.hypercorrelation.correlation import CenterPivotConv4d, over_query_plane, over_support_plane

PAPER = {
    "full": ("11.3 M", "702.35 G", "512 ms", "4.12 GB"),
    "separable": ("4.4 M", "28.40 G", "28.5 ms", "1.50 GB"),
    "center-pivot": ("2.6 M", "20.56 G", "25.5 ms", "1.39 GB"),
}
"""Table 4 of the paper, on a Titan Xp: parameters, FLOPs, time and memory."""

NETWORKS: dict[str, Any] = {
    "lite0": hsnet.lite0,
    "vgg16": hsnet.vgg16,
    "resnet50": lambda: hsnet.resnet(50),
    "resnet101": lambda: hsnet.resnet(101),
}

STATUS = Path("/proc/self/status")
"""Linux reports the memory of this process here."""


class SeparableConv4d(nn.Module):
    """A 4D kernel that is the product of two planar ones: over the support plane, then over the query plane.

    The separable kernel of volumetric correspondence networks (Yang and Ramanan, NeurIPS 2019), with nothing between
    the two convolutions, so that an equivalent full kernel exists (`full_kernel`).
    """

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        # A bias would not reach the padding of the second convolution, and no full kernel would be equivalent.
        self.support = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
        self.query = nn.Conv2d(channels_out, channels_out, kernel, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
        return over_query_plane(self.query, over_support_plane(self.support, x))


class FullConv4d(nn.Module):
    """A dense 4D convolution."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, kernel, kernel, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(channels_out))
        bound = (channels_in * kernel**4) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Float[Tensor, "b c hq wq hs ws"]) -> Float[Tensor, "b d hq wq ho wo"]:
        b, hq, wq = x.shape[0], x.shape[2], x.shape[3]
        planes = rearrange(x, "b c hq wq hs ws -> (b hq wq) c hs ws")
        pad = self.kernel // 2
        total: Tensor | None = None
        for i in range(self.kernel):
            for j in range(self.kernel):
                part = F.conv2d(planes, self.weight[:, :, i, j], stride=self.stride, padding=pad)
                part = rearrange(part, "(b hq wq) d h w -> b hq wq d h w", b=b, hq=hq)
                if total is None:
                    total = self.bias[:, None, None].expand_as(part).clone()
                to, of = _overlap(hq, i - pad), _overlap(wq, j - pad)
                total[:, to[0], of[0]] += part[:, to[1], of[1]]
        assert total is not None
        return rearrange(total, "b hq wq d h w -> b d hq wq h w")


def _overlap(length: int, offset: int) -> tuple[slice, slice]:
    """Return the outputs that read an input `offset` further along the axis, and those inputs."""
    inside = max(length - abs(offset), 0)
    low, high = slice(0, inside), slice(min(abs(offset), length), None)
    return (low, high) if offset >= 0 else (high, low)


KERNELS: dict[str, type[CenterPivotConv4d] | type[SeparableConv4d] | type[FullConv4d]] = {
    "center-pivot": CenterPivotConv4d,
    "separable": SeparableConv4d,
    "full": FullConv4d,
}
"""The kernels of Table 4."""


@torch.no_grad()
def full_kernel(kernel: CenterPivotConv4d | SeparableConv4d) -> FullConv4d:
    """Return the full 4D kernel that is equivalent to a cheaper one."""
    channels_out, side = kernel.query.out_channels, kernel.query.kernel_size[0]
    full = FullConv4d(kernel.support.in_channels, channels_out, kernel=side, stride=kernel.support.stride[0])
    assert kernel.query.bias is not None
    if isinstance(kernel, SeparableConv4d):
        full.weight.copy_(einsum(kernel.query.weight, kernel.support.weight, "d m i j, m c k l -> d c i j k l"))
        full.bias.copy_(kernel.query.bias)
        return full
    assert kernel.support.bias is not None
    center = side // 2
    full.weight.zero_()
    full.weight[:, :, :, :, center, center] = kernel.query.weight
    full.weight[:, :, center, center] += kernel.support.weight
    full.bias.copy_(kernel.query.bias + kernel.support.bias)
    return full


def with_kernel(model: HSNet, kernel: str) -> HSNet:
    """Replace the center-pivot kernels of a network by another kernel, its weights random, and return the network."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, CenterPivotConv4d):
                convolution = child.query
                channels = convolution.in_channels, convolution.out_channels
                new: Any = KERNELS[kernel](*channels, kernel=convolution.kernel_size[0], stride=child.stride)
                setattr(module, name, new)
    return model


@dataclass(frozen=True)
class Cost:
    """Cost of one pass from the hypercorrelation to the logits.

    Attributes:
        parameters: number of trainable parameters.
        flops: multiplications and additions.
        seconds: wall time of the fastest pass.
        memory: peak bytes above those before the first pass; None where the system does not report them.
    """

    parameters: int
    flops: int
    seconds: float
    memory: int | None


def measure_apart(kernel: str, backbone: str, size: int, repeats: int, device: str = "cpu") -> Cost:
    """Return `measure` from a new process, so that the peak memory of an earlier kernel does not count."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, kernel, backbone, size, repeats, device, torch.get_num_threads()).result()


@torch.inference_mode()
def measure(kernel: str, backbone: str, size: int, repeats: int, device: str, threads: int) -> Cost:
    """Return the cost of one kernel's network in this process; its memory is right in a new process only."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = with_kernel(NETWORKS[backbone](), kernel).eval().to(device)
    levels = [level.to(device) for level in pyramid(model, size)]

    def run() -> None:
        model.decode(model.squeeze_and_mix(*levels), (size, size))
        if model_device.type == "cuda":
            torch.cuda.synchronize(model_device)

    model_device = levels[0].device
    before = current_memory(model_device)
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
    """Return random hypercorrelations with the shapes of two images of `size` x `size` pixels."""
    generator = torch.Generator().manual_seed(0)
    strides = [tap.stride for tap in model.backbone.taps]
    sides = {stride: -(-size // stride) for stride in STRIDES}
    return [torch.rand(1, strides.count(s), *(sides[s],) * 4, generator=generator) for s in STRIDES]


def current_memory(device: torch.device) -> int | None:
    """Return the bytes in use."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else process_memory("VmRSS")


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes in use since the process started."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else process_memory("VmHWM")


def process_memory(entry: str) -> int | None:
    """Return the bytes of an entry of `STATUS`, such as "VmRSS"; None on systems without that file."""
    if not STATUS.is_file():
        return None
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{entry}:"))
    return int(line.split()[1]) * 1024


@torch.no_grad()
def largest_difference(kernel: str) -> float:
    """Return the largest difference of a cheap kernel and the full kernel with its weights, relative to the maximum."""
    worst = 0.0
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 6, 9, 8, 13, 12, generator=generator)
    for side, stride in ((3, 1), (3, 2), (5, 4)):
        cheap: Any = KERNELS[kernel](6, 16, kernel=side, stride=stride)
        expected = full_kernel(cheap)(x)
        worst = max(worst, ((cheap(x) - expected).abs().max() / expected.abs().max()).item())
    return worst


def print_row(*cells: str) -> None:
    print("".join(cell.ljust(14) for cell in cells).rstrip())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=NETWORKS, default="resnet101")
    parser.add_argument("--size", type=int, default=400, help="both images have SIZE x SIZE pixels")
    parser.add_argument("--repeats", type=int, default=3, help="number of passes; the fastest counts")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args(argv)
    backbone, size, device = arguments.backbone, arguments.size, arguments.device
    print(f"HSNet on {backbone}, {size}x{size}, from the hypercorrelation to the logits, {device}")
    print_row("kernel", "parameters", "FLOPs", "time", "memory")
    for kernel, paper in PAPER.items():
        cost = measure_apart(kernel, backbone, size, arguments.repeats, device)
        memory = "not measured" if cost.memory is None else f"{cost.memory / 1e9:.2f} GB"
        numbers = f"{cost.parameters / 1e6:.2f} M", f"{cost.flops / 1e9:.2f} G", f"{cost.seconds * 1e3:.1f} ms"
        print_row(kernel, *numbers, memory)
        print_row("  paper", *paper)
    for kernel in ("center-pivot", "separable"):
        difference = largest_difference(kernel)
        print(f"{kernel} and the full kernel of the same weights: largest relative difference {difference:.1e}")


if __name__ == "__main__":
    main()
