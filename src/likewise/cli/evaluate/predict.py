"""`likewise evaluate predict`: write the masks of all episodes."""

from dataclasses import dataclass
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line, progress_bar
from likewise.cli.evaluate import options as evaluation
from likewise.cli.evaluate.score import score as score_run
from likewise.errors import requires_extra


@dataclass(frozen=True)
class NetworkOptions(options.NetworkOptions):
    """The network of a few-shot model, and where it runs."""

    engine: Annotated[
        str, typer.Option("--engine", help="torch, which caches features, or onnx for bundled and exported models.")
    ] = "torch"


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="See [bold]likewise models[/bold].")],
    protocol: evaluation.ProtocolName,
    data: evaluation.Data,
    out: evaluation.RunFolder,
    *,
    drawing: evaluation.EpisodeOptions,
    on_corrupt: evaluation.OnCorrupt = "stop",
    score: Annotated[bool, typer.Option("--score", help="Score the masks afterwards.")] = False,
    network: NetworkOptions,
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

    head = predictor_options(protocols.find_protocol(protocol), network.engine)
    few_shot = options.open_few_shot(model, network, world=world, **head)
    run = start_run(out, protocol_name=protocol, data=data, model=few_shot.settings, **vars(drawing))
    evaluation.print_data(run, few_shot.trained_classes)
    with progress_bar("predicting") as progress:
        segment = episode_segmenter(few_shot, run.protocol)
        report = loops.predict(run, segment, on_corrupt=on_corrupt, progress=progress)
    print_line(f"{out}: {report.done} masks written, {report.finished_before} existed, {report.left_out} skipped")
    if score:
        score_run(out, on_corrupt=on_corrupt)
