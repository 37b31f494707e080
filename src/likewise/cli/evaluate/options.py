"""Options that the commands of `likewise evaluate` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likewise.cli.console import print_error, print_line, print_table

if TYPE_CHECKING:
    from likewise.evaluate.results import Results
    from likewise.evaluate.run import Run

ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol", help="panet-2019, pfenet-2020, hsnet-2021, fss-hsnet-2021, fs-cs-2022, or likewise-1 (ours)."
    ),
]
Data = Annotated[Path, typer.Option("--data", help="Root folder of the data set.")]
RunFolder = Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Folder for masks and results.")]
Fold = Annotated[str, typer.Option("--fold", help="A number, or all.")]
Benchmark = Annotated[
    str | None,
    typer.Option("--benchmark", help="pascal-5i, coco-20i, fss-1000, class-folders. \\[the first that DATA holds]"),
]
Folds = Annotated[str, typer.Option("--folds", help="Folds of COCO-20i: interleaved, or contiguous as in PANet.")]
Shots = Annotated[int | None, typer.Option("--shots", min=1, help="Examples of each class. \\[1]")]
Ways = Annotated[int | None, typer.Option("--ways", min=1, help="Classes of an episode. \\[1]")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Episodes of each run. \\[the protocol's]")]
Seed = Annotated[int | None, typer.Option("--seed", help="\\[the protocol's]")]
EpisodeList = Annotated[
    Path | None,
    typer.Option("--episodes", metavar="FILE", help="An episode list for one fold, instead of drawing episodes."),
]
OnCorrupt = Annotated[
    str, typer.Option("--on-corrupt", help="What to do at an unreadable image: stop, or skip its episodes.")
]
Predictions = Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predictions.")]
ResultsFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder for results.json and index.html.")]


@dataclass(frozen=True)
class EpisodeOptions:
    """Which episodes are drawn from the data; the fields are arguments of `start_run`."""

    fold: Fold = "all"
    benchmark: Benchmark = None
    fold_convention: Folds = "interleaved"
    shots: Shots = None
    ways: Ways = None
    count: Count = None
    seed: Seed = None
    episodes: EpisodeList = None


def print_data(run: Run, trained_classes: Sequence[str] = ()) -> None:
    """Print how much of the data set is present; warn of test classes that the model was trained on."""
    for dataset in run.folds.values():
        print_line(str(dataset.presence))
    if trained := run.classes & set(trained_classes):
        print_error(f"the model was trained on {', '.join(sorted(trained))}; this does not measure unseen classes")


def print_results(results: Results, page: Path) -> None:
    """Print the tables, and where `write_report` put the results."""
    from likewise.evaluate.report.tables import tables

    for table in tables(results):
        print_table(table)
    print_line(f"{page.with_name('results.json')}, {page}")
