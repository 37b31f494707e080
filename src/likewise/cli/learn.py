"""`likewise learn`: save what examples show as a concept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line
from likewise.weights import DEFAULT_MODEL


def learn(
    examples: Annotated[list[str], typer.Argument(metavar="EXAMPLE...", help="As for --like of [bold]segment[/bold].")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the concept; .concept is added if missing.")],
    unlike: options.Unlike = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class of all examples; concepts among them keep theirs.")
    ] = None,
    box: options.Boxes = None,
    box_only: options.BoxOnly = False,
    points: options.Points = None,
    scribbles: options.Scribbles = None,
    label: options.Label = None,
    palette: options.Palette = None,
    classes: options.Classes = None,
    invert: options.Invert = False,
    strict: options.Strict = False,
    model: options.Model = DEFAULT_MODEL,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
) -> None:
    """Learn a concept from examples and save it in a small file.

    Concepts among the EXAMPLES are merged, so adding an example or a class needs no training.

    [dim]likewise learn pets/ -o pets.concept[/dim]
    [dim]likewise learn pets.concept more-dogs/ --class dog -o pets.concept[/dim]
    """
    from likewise.jobs.learn import learn_concept

    few_shot = options.open_few_shot(model, backbone, weights, side, device, precision, engine=engine)
    concept = learn_concept(
        few_shot,
        examples,
        unlike=unlike or (),
        class_name=class_name,
        boxes=box or (),
        box_only=box_only,
        points=points or (),
        scribbles=scribbles or (),
        label=label,
        palette=palette,
        classes=options.names(classes),
        invert=invert,
        strict=strict,
    )
    path = out if out.suffix == ".concept" else out.with_name(f"{out.name}.concept")
    concept.save(path)
    print_line(f"{path}: {concept}")
