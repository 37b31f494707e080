"""The three 4D kernels of HSNet's Table 4 in one network, side by side.

The table (ResNet-101, 400x400, a Titan Xp), full, separable and center-pivot: 11.3M, 4.4M and 2.6M parameters;
702.35, 28.40 and 20.56 G of FLOPs; 512, 28.5 and 25.5 ms; 4.12, 1.50 and 1.39 GB. Parameters here are of the same
network and agree for full and center-pivot. The paper does not say how its separable kernel is made: ours is the
shortest one, a planar convolution after the other. Its FLOPs are counted otherwise, too: ours are multiplications
and additions, two for each weight used, of everything after the backbone but the correlations.

    python benchmarks/kernels.py [--size 400] [--backbone resnet101]
"""

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from likewise.hypercorrelation import KERNELS, full_kernel
from likewise.models.hsnet import STRIDES, HSNet, HSNetConfig, lite0, resnet, vgg16

BUILDERS = {
    "lite0": lite0,
    "vgg16": vgg16,
    "resnet50": lambda config: resnet(50, config),
    "resnet101": lambda config: resnet(101, config),
}


@dataclass(frozen=True)
class Row:
    """One kernel: learnable parameters, FLOP, milliseconds and bytes above the weights of one pass."""

    kernel: str
    parameters: int
    flop: int
    milliseconds: float
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.kernel:14s}{self.parameters / 1e6:8.2f} M {self.flop / 1e9:10.2f} G {self.milliseconds:9.1f} ms "
            f"{self.bytes / 2**20:8.0f} MiB"
        )


def levels(model: HSNet, size: int) -> list[Tensor]:
    """A random hypercorrelation pyramid of the shapes that two pictures of `size` x `size` give."""
    generator = torch.Generator().manual_seed(0)
    strides = [tap.stride for tap in model.backbone.taps]
    sides = {stride: -(-size // stride) for stride in STRIDES}
    return [torch.rand(1, strides.count(s), *(sides[s],) * 4, generator=generator) for s in STRIDES]


@torch.inference_mode()
def measure(kernel: str, backbone: str, size: int, repeats: int = 3) -> Row:
    """Run one kernel's network, from the hypercorrelation on, in this process."""
    torch.manual_seed(0)
    model = BUILDERS[backbone](HSNetConfig(kernel=kernel)).eval()
    pyramid = levels(model, size)

    def run() -> Tensor:
        return model.decode(model.squeeze_and_mix(*pyramid), (size, size))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    with FlopCounterMode(display=False) as counter:
        run()
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Row(kernel, parameters, counter.get_total_flops(), min(times) * 1e3, peak)


@torch.inference_mode()
def largest_difference(kernel: str) -> float:
    """Between a cheap kernel and the full one that has its weights, relative to the largest value."""
    torch.manual_seed(0)
    worst = 0.0
    for side, stride in ((3, 1), (3, 2), (5, 4)):
        cheap = KERNELS[kernel](6, 16, kernel=side, stride=stride)
        x = torch.rand(1, 6, 9, 8, 13, 12)
        expected = full_kernel(cheap)(x)  # type: ignore[arg-type]
        worst = max(worst, ((cheap(x) - expected).abs().max() / expected.abs().max()).item())
    return worst


def table(backbone: str = "resnet101", size: int = 400) -> list[Row]:
    """All three, each in a process of its own, so that one's peak does not hide another's."""
    rows = []
    for kernel in KERNELS:
        command = [sys.executable, __file__, "--only", kernel, "--backbone", backbone, "--size", str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        rows.append(Row(kernel, int(done[0]), int(done[1]), float(done[2]), int(done[3])))
    return rows


def show(backbone: str = "resnet101", size: int = 400) -> None:
    """Print the table, and how far the kernels differ where they should agree."""
    print(f"{backbone}, {size}x{size}, from the hypercorrelation to the logits, {torch.get_num_threads()} threads")
    print(f"{'kernel':14s}{'parameters':>10s} {'FLOP':>12s} {'time':>12s} {'memory':>12s}")
    for row in table(backbone, size):
        print(row)
    for kernel in ("center-pivot", "separable"):
        print(f"{kernel} against the full kernel of the same weights: {largest_difference(kernel):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--backbone", choices=list(BUILDERS), default="resnet101")
    parser.add_argument("--only", choices=list(KERNELS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        row = measure(arguments.only, arguments.backbone, arguments.size, repeats=1 if arguments.only == "full" else 3)
        print(row.parameters, row.flop, row.milliseconds, row.bytes)
    else:
        show(arguments.backbone, arguments.size)


if __name__ == "__main__":
    main()
