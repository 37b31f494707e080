"""`likewise bench`: speed and memory on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from likewise.cli.commands import command
from likewise.cli.console import new_table, print_line, print_table

app = typer.Typer(no_args_is_help=True, help="Speed and memory on this machine.")


@app.callback()
def bench() -> None:
    """Speed and memory on this machine."""


@app.command("kernels", cls=command())
def kernels(
    backbone: Annotated[
        str, typer.Option("--backbone", help="lite0, vgg16, resnet50, or resnet101 as in Table 4 of the paper.")
    ] = "resnet101",
    size: Annotated[int, typer.Option("--size", min=32, help="Both images have SIZE x SIZE pixels.")] = 400,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Number of passes; the fastest counts.")] = 3,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Compare HSNet's three 4D kernels: parameters, FLOPs, time and peak memory.

    Each kernel runs in its own process, from the hypercorrelation to the logits. The second row of a kernel is from the
    paper's Table 4: ResNet-101 at 400x400 on a Titan Xp.
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
            "not measured" if cost.memory is None else f"{cost.memory / 1e9:.2f} GB",
        )
        table.add_row("  paper", *paper)
    print_line(f"HSNet on {backbone}, {size}x{size}, from the hypercorrelation to the logits, {device}")
    print_table(table)
    for kernel in ("center-pivot", "separable"):
        difference = largest_difference(kernel)
        print_line(f"{kernel} and the full kernel of the same weights: largest relative difference {difference:.1e}")
