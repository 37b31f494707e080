"""`likewise evaluate episodes`: write the episode lists for another program."""

from likewise.cli.console import print_line
from likewise.cli.evaluate import options as evaluation
from likewise.errors import requires_extra


def episodes(
    protocol: evaluation.ProtocolName,
    data: evaluation.Data,
    out: evaluation.RunFolder,
    drawing: evaluation.EpisodeOptions,
) -> None:
    """Write the episode lists without masks, for another program to predict.

    Its masks go to RUN/fold0/masks/00000.png, ..., numbered by line; or to any folder, see --masks of score.
    """
    with requires_extra("evaluate", "evaluation"):
        from likewise.evaluate.run import start_run

    run = start_run(out, protocol_name=protocol, data=data, model={}, **vars(drawing))
    evaluation.print_data(run)
    for number in run.folds:
        print_line(str(run.list_path(number)))
