"""Measure: `evaluate`, its two loops, and the scoring of groups and scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from likewise.cli.few_shot import SeveralValues
from likewise.cli.options import (
    BackboneName,
    Device,
    Precision,
    Side,
    Weights,
    complain,
    open_few_shot,
    say,
    shown_progress,
)

if TYPE_CHECKING:
    from likewise.evaluate.run import Run
    from likewise.evaluate.results import Results


class SeveralScales(SeveralValues):
    """A command whose `--scales` takes all values up to the next option."""

    several = ("--scales",)


class BothLoops(TyperGroup):
    """A group whose first word is a model when it is none of its commands: then both loops run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["both", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=BothLoops,
    no_args_is_help=True,
    help="Measure a model, or anyone's predictions, under a named protocol.\n\n"
    "[bold]likewise evaluate MODEL --protocol P --data D -o RUN[/bold] predicts and scores in one go.",
)
EvaluatedModel = Annotated[str, typer.Argument(metavar="MODEL", help="See [bold]likewise models[/bold].")]
ProtocolName = Annotated[
    str,
    typer.Option("--protocol", help="panet-2019, pfenet-2020, hsnet-2021, fss-hsnet-2021, or likewise-1, ours."),
]
Data = Annotated[Path, typer.Option("--data", help="The root of the data set.")]
RunFolder = Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The folder for masks and results.")]
Fold = Annotated[str, typer.Option("--fold", help="A number, or all.")]
Benchmark = Annotated[
    str | None,
    typer.Option("--benchmark", help="pascal-5i, coco-20i, fss-1000, class-folders. \\[the first that DATA holds]"),
]
Folds = Annotated[str, typer.Option("--folds", help="Of COCO-20i: interleaved, or contiguous as PANet's.")]
Shots = Annotated[int | None, typer.Option("--shots", min=1, help="Examples of each class. \\[1]")]
Ways = Annotated[int | None, typer.Option("--ways", min=1, help="Classes of an episode. \\[1]")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Episodes, of each run. \\[the protocol's]")]
Seed = Annotated[int | None, typer.Option("--seed", help="\\[the protocol's]")]
EpisodeList = Annotated[
    Path | None,
    typer.Option("--episodes", metavar="FILE", help="An episode list to take, for one fold, instead of drawing."),
]
OnCorrupt = Annotated[
    str, typer.Option("--on-corrupt", help="At an image that cannot be read: stop, or skip its episodes.")
]
Masks = Annotated[
    Path | None,
    typer.Option("--masks", metavar="FOLDER", help="Another program's masks: fold0/00000.png, ... after the lists."),
]
MovedData = Annotated[Path | None, typer.Option("--data", help="Where the data set is now, if it was moved.")]
Predictions = Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="The folder of predictions.")]
ResultsFolder = Annotated[Path, typer.Option("--out", "-o", help="The folder for results.json and index.html.")]


@app.command("both", hidden=True)
def both(
    model: EvaluatedModel,
    protocol: ProtocolName,
    data: Data,
    out: RunFolder,
    fold: Fold = "all",
    benchmark: Benchmark = None,
    folds: Folds = "interleaved",
    shots: Shots = None,
    ways: Ways = None,
    count: Count = None,
    seed: Seed = None,
    episodes: EpisodeList = None,
    on_corrupt: OnCorrupt = "stop",
    backbone: BackboneName = "lite0",
    weights: Weights = None,
    side: Side = None,
    device: Device = "auto",
    precision: Precision = "float32",
) -> None:
    """Predict the masks of all episodes and score them."""
    predict(
        model, protocol, data, out, fold, benchmark, folds, shots, ways, count, seed, episodes, on_corrupt, backbone,
        weights, side, device, precision,
    )  # fmt: skip
    score(out, on_corrupt=on_corrupt)


@app.command("predict")
def predict(
    model: EvaluatedModel,
    protocol: ProtocolName,
    data: Data,
    out: RunFolder,
    fold: Fold = "all",
    benchmark: Benchmark = None,
    folds: Folds = "interleaved",
    shots: Shots = None,
    ways: Ways = None,
    count: Count = None,
    seed: Seed = None,
    episodes: EpisodeList = None,
    on_corrupt: OnCorrupt = "stop",
    backbone: BackboneName = "lite0",
    weights: Weights = None,
    side: Side = None,
    device: Device = "auto",
    precision: Precision = "float32",
) -> None:
    """Write the masks of all episodes to RUN, beside the episode lists.

    A run that was stopped goes on where it was when it is started again.

    [dim]likewise evaluate predict panet --protocol hsnet-2021 --data data/ -o runs/panet[/dim]
    """
    from likewise.evaluate import loops, protocols
    from likewise.evaluate.segmenter import episode_segmenter, model_settings, predictor_options

    options = predictor_options(protocols.find_protocol(protocol))
    few_shot = open_few_shot(model, backbone, weights, side, device, precision, **options)
    settings = model_settings(few_shot)
    run = _started(out, protocol, data, settings, fold, benchmark, folds, shots, ways, count, seed, episodes)
    seen = [name for name in _tested(run) if name in few_shot.trained_classes]
    if seen:
        complain(f"{model} was trained on {', '.join(seen)}: this is no measure of classes never seen")
    segment = episode_segmenter(few_shot, run.protocol)
    with shown_progress("predicting", run.episode_count) as told:
        report = loops.predict(run, segment, on_corrupt=on_corrupt, progress=told)
    say(f"{out}: {report.done} masks written, {report.finished_before} were there, {report.left_out} left out")


@app.command("episodes")
def episodes(
    protocol: ProtocolName,
    data: Data,
    out: RunFolder,
    fold: Fold = "all",
    benchmark: Benchmark = None,
    folds: Folds = "interleaved",
    shots: Shots = None,
    ways: Ways = None,
    count: Count = None,
    seed: Seed = None,
    episodes: EpisodeList = None,
) -> None:
    """Write the episode lists alone, for another program to predict.

    Its masks go to RUN/fold0/masks/00000.png, ..., named by line; or anywhere, see --masks of score.
    """
    run = _started(out, protocol, data, {}, fold, benchmark, folds, shots, ways, count, seed, episodes)
    for number in run.folds:
        say(str(run.list_path(number)))


@app.command("score")
def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of [bold]evaluate predict[/bold].")],
    masks: Masks = None,
    data: MovedData = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder for the results. \\[that of the masks]")
    ] = None,
    on_corrupt: OnCorrupt = "stop",
) -> None:
    """Score the masks in RUN, or those of another program for its episodes."""
    from likewise.evaluate import loops
    from likewise.evaluate.run import read_run

    opened = read_run(run, data)
    with shown_progress("scoring", opened.episode_count) as told:
        results = loops.score(opened, masks, on_corrupt=on_corrupt, progress=told)
    _report(results, out or masks or run, opened)


@app.command("groups")
def groups(
    predictions: Predictions,
    data: Annotated[Path, typer.Option("--data", help="The co-saliency set: image/<group>/, gt/<group>/.")],
    out: ResultsFolder,
    mode: Annotated[str, typer.Option("--mode", help="pysodmetrics, icnet-224, co-segmentation.")] = "pysodmetrics",
) -> None:
    """Score a folder of co-saliency maps, <group>/<image>.png, or as saliency and cosegment write them.

    Those are <image>.probability.png and <image>.mask.png; of each image there must be one map.
    """
    from likewise.data.groups import cosaliency_groups
    from likewise.evaluate.scoring import score_groups

    _report(score_groups(predictions, cosaliency_groups(data), mode), out)


@app.command("scenes", cls=SeveralScales)
def scenes(
    predictions: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run of mcibi or fcn, a .safetensors, or a folder of label PNGs."),
    ],
    data: Data,
    benchmark: Annotated[
        str, typer.Option("--benchmark", help="voc, ade20k, cityscapes, coco-stuff-10k, lip, camvid.")
    ],
    out: ResultsFolder,
    split: Annotated[str | None, typer.Option("--split", help="\\[the one for testing]")] = None,
    inference: Annotated[
        str, typer.Option("--inference", help="How anyone's labels were predicted, for the record: single-scale, ...")
    ] = "not stated",
    scales: Annotated[
        list[float] | None,
        typer.Option("--scales", metavar="SCALE...", help="Of the multi-scale score. \\[0.5 0.75 1 1.25 1.5 1.75]"),
    ] = None,
    single: Annotated[bool, typer.Option("--single", help="Leave out the multi-scale score.")] = False,
    side: Annotated[
        int | None, typer.Option("--side", min=0, help="Their short side, 0 for their own. \\[as trained]")
    ] = None,
    window: Annotated[
        int, typer.Option("--window", min=1, help="Larger images are cut into windows of so many pixels a side.")
    ] = 768,
    device: Device = "auto",
) -> None:
    """Score a run on a benchmark's scenes, at a single scale and at several with mirror images; or a folder of labels.

    A .safetensors file, as of an imported checkpoint, is a run too.

    Labels are <image>.png or <image>.labels.png, with class indices from 0.

    [dim]likewise evaluate scenes runs/mcibi --data CamVid --benchmark camvid -o results/[/dim]
    """
    from likewise.data.benchmarks import open_scenes
    from likewise.evaluate.scenes import SCALES, evaluate_scenes
    from likewise.evaluate.scoring import score_scenes

    opened = open_scenes(data, benchmark, split)
    if predictions.suffix != ".safetensors" and not (predictions / "weights.safetensors").is_file():
        _report(score_scenes(predictions, opened, inference), out)
        return
    chosen = () if single else tuple(scales or SCALES)
    with shown_progress("parsing", len(opened.scenes)) as told:
        results = evaluate_scenes(
            predictions, opened, out, scales=chosen, side=side, window=window, device=device, progress=told
        )
    _report(results, out)


@app.command("leakage")
def leakage(data: Data) -> None:
    """Count, for each fold of PASCAL-5i, the training images in which a novel class can be seen.

    Counted from the lists alone, whether the images are there or not. A recipe leaves them out with
    data.drop_leaking=true.
    """
    from likewise.data.pascal import pascal_home, pascal_leakage, pascal_lists

    lists = pascal_lists(data, pascal_home(data), None)
    if lists is None:
        raise ValueError(f"{data}: no lists in splits/pascal, such as trn/fold0.txt; the leakage is counted from them")
    for fold in range(4):
        say(f"fold {fold}: {pascal_leakage(lists, fold)}")


def _started(
    out: Path,
    protocol: str,
    data: Path,
    model: dict[str, Any],
    fold: str,
    benchmark: str | None,
    folds: str,
    shots: int | None,
    ways: int | None,
    count: int | None,
    seed: int | None,
    episodes: Path | None,
) -> Run:
    from likewise.evaluate.run import start_run

    run = start_run(
        out,
        protocol_name=protocol,
        data=data,
        model=model,
        fold=fold,
        benchmark=benchmark,
        fold_convention=folds,
        shots=shots,
        ways=ways,
        count=count,
        seed=seed,
        episodes=episodes,
    )
    for dataset in run.folds.values():
        say(str(dataset.presence))
    return run


def _tested(run: Run) -> list[str]:
    return [name for dataset in run.folds.values() for name in dataset.classes]


def _report(results: Results, out: Path, run: Run | None = None) -> None:
    from likewise.evaluate.report.tables import tables
    from likewise.evaluate.report.write import write_report

    page = write_report(results, out, run)
    for table in tables(results):
        say(table)
    say(f"{page.with_name('results.json')}, {page}")
