"""`likewise evaluate episodes`: write the episode lists for another program."""

from typing import Any

from likewise.cli import evaluate_options as evaluation
from likewise.cli.console import print_line
from likewise.errors import requires_extra


def episodes(
    protocol: evaluation.ProtocolName,
    data: evaluation.Data,
    out: evaluation.RunFolder,
    fold: evaluation.Fold = "all",
    benchmark: evaluation.Benchmark = None,
    folds: evaluation.Folds = "interleaved",
    shots: evaluation.Shots = None,
    ways: evaluation.Ways = None,
    count: evaluation.Count = None,
    seed: evaluation.Seed = None,
    episodes: evaluation.EpisodeList = None,
) -> None:
    """Write the episode lists without masks, for another program to predict.

    Its masks go to RUN/fold0/masks/00000.png, ..., numbered by line; or to any folder, see --masks of score.
    """
    with requires_extra("evaluate", "evaluation"):
        from likewise.evaluate.run import start_run

    drawing: dict[str, Any] = {"shots": shots, "ways": ways, "count": count, "seed": seed, "episodes": episodes}
    drawing |= {"data": data, "benchmark": benchmark, "fold": fold, "fold_convention": folds}
    run = start_run(out, protocol_name=protocol, model={}, **drawing)
    evaluation.print_data(run)
    for number in run.folds:
        print_line(str(run.list_path(number)))
