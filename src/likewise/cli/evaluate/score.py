"""`likewise evaluate score`: score the masks of a run."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.console import progress_bar
from likewise.cli.evaluate import options as evaluation
from likewise.errors import requires_extra

Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks", metavar="FOLDER", help="Masks of another program: fold0/00000.png, ..., numbered as the lists."
    ),
]


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of [bold]evaluate predict[/bold].")],
    masks: Masks = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the data set, if it was moved.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results. \\[the masks']")] = None,
    on_corrupt: evaluation.OnCorrupt = "stop",
) -> None:
    """Score the masks in RUN, or those of another program for the same episodes."""
    with requires_extra("evaluate", "evaluation"):
        from likewise.evaluate import loops
        from likewise.evaluate.report.write import write_report
        from likewise.evaluate.run import read_run

    opened = read_run(run, data)
    with progress_bar("scoring") as progress:
        results = loops.score(opened, masks, on_corrupt=on_corrupt, progress=progress)
    evaluation.print_results(results, write_report(results, out or masks or run, opened))
