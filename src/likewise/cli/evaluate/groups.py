"""`likewise evaluate groups`: score co-saliency maps."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.evaluate import options as evaluation
from likewise.errors import requires_extra


def groups(
    predictions: evaluation.Predictions,
    data: Annotated[Path, typer.Option("--data", help="The co-saliency set: image/<group>/, gt/<group>/.")],
    out: evaluation.ResultsFolder,
    mode: Annotated[str, typer.Option("--mode", help="pysodmetrics, icnet-224, co-segmentation.")] = "pysodmetrics",
) -> None:
    """Score a folder of co-saliency maps: <group>/<image>.png, or the outputs of saliency and cosegment.

    The outputs are <image>.probability.png and <image>.mask.png. Each image needs exactly one map.
    """
    with requires_extra("evaluate", "evaluation"):
        from likewise.data.groups import cosaliency_groups
        from likewise.evaluate.report.write import write_report
        from likewise.evaluate.scoring import score_groups

    results = score_groups(predictions, cosaliency_groups(data), mode)
    evaluation.print_results(results, write_report(results, out))
