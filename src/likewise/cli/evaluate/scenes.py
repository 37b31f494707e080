"""`likewise evaluate scenes`: score scene parsing."""

from pathlib import Path
from typing import Annotated, Any

import typer

from likewise.cli import options
from likewise.cli.console import progress_bar
from likewise.cli.evaluate import options as evaluation
from likewise.errors import requires_extra

Source = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run of mcibi or fcn, a .safetensors file, or a folder of label PNGs.")
]
BenchmarkName = Annotated[
    str, typer.Option("--benchmark", help="voc, ade20k, cityscapes, coco-stuff-10k, lip, camvid.")
]
Scales = Annotated[
    list[float] | None,
    typer.Option("--scales", metavar="SCALE...", help="Multi-scale factors. \\[0.5 0.75 1 1.25 1.5 1.75]"),
]


def scenes(
    predictions: Source,
    data: evaluation.Data,
    benchmark: BenchmarkName,
    out: evaluation.ResultsFolder,
    split: Annotated[str | None, typer.Option("--split", help="\\[the test split]")] = None,
    inference: Annotated[str, typer.Option("--inference", help="How given labels were predicted.")] = "not stated",
    scales: Scales = None,
    single: Annotated[bool, typer.Option("--single", help="Skip the multi-scale score.")] = False,
    side: options.ShortSide = None,
    window: options.SceneWindow = 768,
    device: options.Device = "auto",
) -> None:
    """Score a run at a single scale and at several scales with mirroring, or a folder of labels.

    Labels are <image>.png or <image>.labels.png, class indices from 0. Interrupted runs resume.

    [dim]likewise evaluate scenes runs/mcibi --data CamVid --benchmark camvid -o results/[/dim]
    """
    with requires_extra("evaluate", "evaluation"):
        from likewise.data.benchmarks import open_scenes
        from likewise.evaluate.report.write import write_report
        from likewise.evaluate.scenes import SCALES, evaluate_scenes
        from likewise.evaluate.scoring import score_scenes

    dataset = open_scenes(data, benchmark, split)
    if predictions.suffix != ".safetensors" and not (predictions / "weights.safetensors").is_file():
        results = score_scenes(predictions, dataset, inference)
    else:
        chosen: dict[str, Any] = {"scales": () if single else tuple(scales or SCALES), "side": side, "window": window}
        with progress_bar("parsing") as progress:
            results = evaluate_scenes(predictions, dataset, out, device=device, progress=progress, **chosen)
    evaluation.print_results(results, write_report(results, out))
