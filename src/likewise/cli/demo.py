"""`likewise demo`: two photographs, segmented from one example each."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import new_table, print_error, print_line, print_table
from likewise.errors import requires_extra
from likewise.weights import DEFAULT_MODEL

SHOWN = [DEFAULT_MODEL, "panet-lite0"]
"""hsnet-lite0 is left out: correlations alone do not find these objects (an IoU of 0.11 and 0.00)."""


def demo(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")] = Path("demo"),
    model: Annotated[
        str | None, typer.Option("--model", help="One model. \\[the default and panet-lite0, side by side]")
    ] = None,
    network: options.NetworkOptions,
) -> None:
    """Segment two photographs from one example each, and print the IoU and the time.

    Masks are written for the default model, or for --model.

    The command fails if an IoU of that model is below its minimum.
    """
    with requires_extra("demo", "the demo"):
        from likewise.jobs.demo import run_demo
    names = [model] if model else SHOWN
    predictors = [options.open_few_shot(name, network) for name in names]
    outcomes, sheet = run_demo(predictors, out)
    table = new_table("task", "IoU", "minimum", "learn", "segment", "model")
    for few_shot, results in zip(predictors, outcomes, strict=True):
        for outcome in results:
            table.add_row(
                outcome.task.name,
                f"[{'green' if outcome.passed else 'red'}]{outcome.iou:.3f}[/]",
                f"{outcome.task.minimum:.2f}",
                f"{outcome.learn_seconds * 1000:.0f} ms",
                f"{outcome.segment_seconds * 1000:.0f} ms",
                few_shot.model_name,
            )
    print_table(table)
    print_line(f"images: {sheet}")
    if not all(outcome.passed for outcome in outcomes[0]):
        print_error("an IoU is below its minimum")
        raise typer.Exit(1)
