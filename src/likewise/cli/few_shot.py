"""Segment by example: `segment`, `learn`, `demo`, and what there is to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from likewise.cli.options import (
    BackboneName,
    Device,
    Edges,
    Model,
    Precision,
    Side,
    Weights,
    complain,
    new_table,
    open_few_shot,
    say,
    shown_progress,
)
from likewise.predict import DEFAULT_MODEL

if TYPE_CHECKING:
    from likewise.predict.concept import Concept
    from likewise.predict.few_shot import FewShot


class SeveralValues(TyperCommand):
    """A command whose `--like`, `--box`, `--scribbles` and `--format` take all values up to the next option."""

    several: tuple[str, ...] = ("--like", "--box", "--scribbles", "--format", "-f")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        expanded: list[str] = []
        option, taken = None, 0
        for position, argument in enumerate(args):
            if argument == "--":
                return super().parse_args(ctx, expanded + args[position:])
            if argument.startswith("-") and len(argument) > 1:
                option, taken = (argument, 0) if argument in self.several else (None, 0)
            elif option is not None:
                if taken:
                    expanded.append(option)
                taken += 1
            expanded.append(argument)
        return super().parse_args(ctx, expanded)


Like = Annotated[
    list[str],
    typer.Option(
        "--like",
        metavar="EXAMPLE...",
        help="What to look for: [bold]image=mask[/bold]; an image whose mask lies beside it (x.mask.png, "
        "x_mask.png, or x.png beside x.jpg); a folder of such pairs, its subfolders the classes; a .concept.",
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="X0,Y0,X1,Y1...",
        help="A box instead of a mask, in pixels, for each example image in order.",
    ),
]
Scribbles = Annotated[
    list[Path] | None,
    typer.Option(
        "--scribbles",
        metavar="FILE...",
        help="Strokes instead of a mask, for each example image in order: green on the object, red beside it.",
    ),
]
Label = Annotated[int | None, typer.Option("--label", help="The value of the object in masks of several classes.")]


def segment(
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Images, folders (searched through), globs.")],
    like: Like,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the results; made if it is not there.")],
    box: Boxes = None,
    scribbles: Scribbles = None,
    label: Label = None,
    format: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", metavar="FORMAT...", help="mask, probability, overlay, cutout, coco. [mask]"),
    ] = None,
    model: Model = DEFAULT_MODEL,
    backbone: BackboneName = "lite0",
    weights: Weights = None,
    side: Side = None,
    device: Device = "auto",
    precision: Precision = "float32",
    edges: Edges = True,
    force: Annotated[bool, typer.Option("--force", help="Do finished images again too.")] = False,
) -> None:
    """Find in all PATHS what the examples show.

    A run that was stopped goes on where it was when it is started again.

    [dim]likewise segment photos/ --like cat.jpg=cat.png -o masks/ --format mask overlay[/dim]
    """
    from likewise.io.paths import find_images
    from likewise.jobs.folder import segment_folder
    from likewise.jobs.writers import checked_formats
    from likewise.predict.examples import find_examples

    formats = checked_formats(format or ["mask"])
    found, concepts = find_examples(like, boxes=box or (), scribbles=scribbles or (), label=label)
    given = [source for example in found for source in (example.mask, example.scribbles)]
    sources = [source for source in given if isinstance(source, Path)]
    images = find_images(paths, exclude=[out, *sources])
    few_shot = open_few_shot(model, backbone, weights, side, device, precision, edges=edges)
    concept = _concept(few_shot, found, concepts)
    settings = {
        "model": few_shot.model_name,
        "backbone": few_shot.backbone_name,
        "weights": few_shot.fingerprint,
        "side": few_shot.side,
        "precision": few_shot.precision,
        "edges": few_shot.edges,
        "concept": concept.digest(),
    }
    with shown_progress("segmenting", len(images)) as told:
        report = segment_folder(
            images,
            lambda image: few_shot.segment(image, concept),
            out,
            formats=formats,
            classes=concept.classes,
            settings=settings,
            force=force,
            protect=[*(Path(example.name) for example in found), *sources, *concepts],
            progress=told,
        )
    rate = f", {report.done / report.seconds:.1f} images a second" if report.done else ""
    skipped = f", {report.skipped} were finished before" if report.skipped else ""
    say(f"{report.done} images segmented into {out}{skipped}{rate}")
    if report.failed:
        complain(f"{len(report.failed)} failed:")
        for path, reason in report.failed:
            complain(f"  {path}: {reason}")
        raise typer.Exit(1)


def learn(
    examples: Annotated[list[str], typer.Argument(metavar="EXAMPLE...", help="As --like of [bold]segment[/bold].")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The concept's file; .concept is added where it lacks.")],
    box: Boxes = None,
    scribbles: Scribbles = None,
    label: Label = None,
    model: Model = DEFAULT_MODEL,
    backbone: BackboneName = "lite0",
    weights: Weights = None,
    side: Side = None,
    device: Device = "auto",
    precision: Precision = "float32",
) -> None:
    """Learn a concept from examples once, and keep it in a small file.

    Concepts among the EXAMPLES are merged in, so adding an example or a class retrains nothing.

    [dim]likewise learn pets/ -o pets.concept[/dim]
    """
    from likewise.predict.examples import find_examples

    out = out if out.suffix == ".concept" else out.with_name(out.name + ".concept")
    found, concepts = find_examples(examples, boxes=box or (), scribbles=scribbles or (), label=label)
    concept = _concept(open_few_shot(model, backbone, weights, side, device, precision), found, concepts)
    concept.save(out)
    say(f"{out}: {concept}")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the images.")] = Path("demo"),
    model: Annotated[
        str | None, typer.Option("--model", help="This one alone. \\[all that are bundled, side by side]")
    ] = None,
    backbone: BackboneName = "lite0",
    weights: Weights = None,
    side: Side = None,
    device: Device = "auto",
    precision: Precision = "float32",
) -> None:
    """Segment two real photographs from one example each, and show how well it went.

    The masks that are written, and the floors under their IoU, are those of the default model, or of --model.
    """
    from likewise.jobs import demo as demonstration
    from likewise.weights.few_shot import BUNDLED_MODELS
    from likewise.weights.load import bundled

    others = [name for name in bundled(*BUNDLED_MODELS) if name != DEFAULT_MODEL]
    opened = [
        open_few_shot(name, backbone, weights, side, device, precision)
        for name in ([model] if model else [DEFAULT_MODEL, *others])
    ]
    tasks = [demonstration.motorcycle(), demonstration.coins()]
    first, *beside = (demonstration.run(few_shot, tasks) for few_shot in opened)
    what = f"{' and '.join(few_shot.model_name for few_shot in opened)}, {opened[0].device}"
    told = f"One example each, in images no model here saw before; {what}"
    sheet = demonstration.write(first, out, told, beside=beside)
    table = new_table("task", "IoU", "floor", "learn", "segment", "model", "backbone")
    for few_shot, outcomes in zip(opened, (first, *beside), strict=True):
        for outcome in outcomes:
            table.add_row(
                outcome.task.name,
                f"[{'green' if outcome.passed else 'red'}]{outcome.iou:.3f}[/]",
                f"{outcome.task.floor:.2f}",
                f"{outcome.learn_seconds * 1000:.0f} ms",
                f"{outcome.segment_seconds * 1000:.0f} ms",
                few_shot.model_name,
                few_shot.backbone_name.partition("@")[0],
            )
    say(table)
    say(f"Look at {sheet}")
    if not all(outcome.passed for outcome in first):
        complain("an IoU lies under its floor")
        raise typer.Exit(1)


def models() -> None:
    """List the models."""
    from likewise.predict.co_saliency import DEFAULT_GROUP_MODEL
    from likewise.predict.saliency import DEFAULT_SALIENCY
    from likewise.weights.few_shot import BUNDLED_MODELS
    from likewise.weights.load import bundled
    from likewise.weights.published import BY_EXAMPLE, CHECKPOINTS

    papers = {"panet": "PANet (ICCV 2019)", "hsnet": "HSNet (ICCV 2021)", "icnet": "ICNet (NeurIPS 2020)"}
    table = new_table("model", "what it is", "weights")
    for name in bundled(*BUNDLED_MODELS):
        default = "; the default" if name == DEFAULT_MODEL else ""
        table.add_row(name, f"{papers[name.partition('-')[0]]} on lite0, trained by us{default}", "bundled")
    table.add_row("panet", "PANet without training, on any backbone", "the backbone's")
    for name in BY_EXAMPLE:
        paper = papers[name.partition("-")[0]]
        table.add_row(name, f"{paper}, the published network", "its authors' checkpoint: --weights FILE")
    for name in bundled(DEFAULT_GROUP_MODEL):
        table.add_row(name, f"{papers['icnet']} on lite0, trained by us, for groups", "bundled")
    for name in (name for name, network in CHECKPOINTS.items() if network.method == "icnet"):
        table.add_row(name, f"{papers['icnet']}, the published network", "its authors' checkpoint: --weights FILE")
    for name in bundled(DEFAULT_SALIENCY):
        table.add_row(name, "our saliency network on lite0; makes the maps that ICNet starts from", "bundled")
    table.add_row("a folder", "what [bold]likewise train[/] left there", "its own")
    table.add_row("a file", "what [bold]likewise weights import[/] made of a published checkpoint", "its own")
    say(table)


def backbones() -> None:
    """List the backbones."""
    from likewise.backbones.specs import BACKBONES

    kinds = {"bundled": "bundled", "hub": "Hugging Face hub, or --weights FILE", "none": "--weights FILE"}
    table = new_table("backbone", "what it is", "strides", "weights")
    for spec in BACKBONES.values():
        strides = sorted({tap.stride for tap in spec.taps})
        table.add_row(spec.name, spec.about, " ".join(map(str, strides)), kinds[spec.weights])
    table.add_row("any of timm's", "what gives feature maps, such as convnext_tiny", "", kinds["hub"])
    say(table)


def _concept(few_shot: FewShot, examples: list[Any], concepts: list[Path]) -> Concept:
    """What the examples show, and the saved concepts, as one."""
    from likewise.predict.concept import Concept

    learned = [few_shot.learn(examples)] if examples else []
    first, *others = learned + [Concept.load(path) for path in concepts]
    few_shot.check(first)
    return first.merged(*others)
