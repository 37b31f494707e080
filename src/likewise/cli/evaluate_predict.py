"""`likewise evaluate predict`: write the masks of all episodes."""

from typing import Annotated, Any

import typer

from likewise.cli import evaluate_options as evaluation
from likewise.cli import options
from likewise.cli.console import print_line, progress_bar
from likewise.cli.evaluate_score import score as score_run
from likewise.errors import requires_extra


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="See [bold]likewise models[/bold].")],
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
    on_corrupt: evaluation.OnCorrupt = "stop",
    score: Annotated[bool, typer.Option("--score", help="Score the masks afterwards.")] = False,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    engine: Annotated[
        str, typer.Option("--engine", help="torch, which caches features, or onnx for bundled and exported models.")
    ] = "torch",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    world: options.World = None,
) -> None:
    """Write the masks of all episodes and the episode lists to RUN.

    Interrupted runs resume.

    [dim]likewise evaluate predict panet --protocol hsnet-2021 --data data/ -o run[/dim]
    """
    with requires_extra("evaluate", "evaluation"):
        from likewise.evaluate import loops, protocols
        from likewise.evaluate.run import start_run
        from likewise.evaluate.segmenter import episode_segmenter, predictor_options

    head = predictor_options(protocols.find_protocol(protocol), engine)
    few_shot = options.open_few_shot(model, backbone, weights, side, device, precision, world=world, **head)
    drawing: dict[str, Any] = {"shots": shots, "ways": ways, "count": count, "seed": seed, "episodes": episodes}
    drawing |= {"data": data, "benchmark": benchmark, "fold": fold, "fold_convention": folds}
    run = start_run(out, protocol_name=protocol, model=few_shot.settings, **drawing)
    evaluation.print_data(run, few_shot.trained_classes)
    with progress_bar("predicting") as progress:
        segment = episode_segmenter(few_shot, run.protocol)
        report = loops.predict(run, segment, on_corrupt=on_corrupt, progress=progress)
    print_line(f"{out}: {report.done} masks written, {report.finished_before} existed, {report.left_out} skipped")
    if score:
        score_run(out, on_corrupt=on_corrupt)
