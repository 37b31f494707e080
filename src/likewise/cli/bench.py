"""Measure speed and memory: `bench kernels`."""

from __future__ import annotations

from typing import Annotated

import typer

from likewise.cli.options import new_table, say

app = typer.Typer(no_args_is_help=True, help="Speed and memory, measured on this machine.")


@app.callback()
def bench() -> None:
    """Speed and memory, measured on this machine."""


@app.command("kernels")
def kernels(
    backbone: Annotated[
        str, typer.Option("--backbone", help="lite0, vgg16, resnet50 or resnet101, as in the paper's Table 4.")
    ] = "resnet101",
    size: Annotated[int, typer.Option("--size", min=32, help="Both images are SIZE x SIZE.")] = 400,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Passes, of which the quickest counts.")] = 3,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, ...")] = "cpu",
) -> None:
    """HSNet's three 4D kernels side by side: parameters, FLOPs, time, peak memory.

    From the hypercorrelation to the logits, each kernel in a process of its own. Under each stand the numbers of the
    paper's Table 4, of ResNet-101 at 400x400 on a Titan Xp.
    """
    from likewise.evaluate.kernel_costs import PAPER, largest_difference, measure_apart

    table = new_table("kernel", "parameters", "FLOPs", "time", "memory")
    for kernel, paper in PAPER.items():
        cost = measure_apart(kernel, backbone, size, repeats, device)
        table.add_row(
            kernel,
            f"{cost.parameters / 1e6:.2f} M",
            f"{cost.flops / 1e9:.2f} G",
            f"{cost.seconds * 1e3:.1f} ms",
            "not told here" if cost.memory is None else f"{cost.memory / 1e9:.2f} GB",
        )
        table.add_row("  the paper's", *paper)
    say(f"HSNet on {backbone}, {size}x{size}, from the hypercorrelation to the logits, {device}")
    say(table)
    for kernel in ("center-pivot", "separable"):
        say(f"{kernel} against the full kernel of the same weights: {largest_difference(kernel):.1e} of the largest")
