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
    *,
    unlike: options.Unlike = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class of all examples; concepts among them keep theirs.")
    ] = None,
    marks: options.MarkOptions,
    model: options.Model = DEFAULT_MODEL,
    network: options.NetworkOptions,
) -> None:
    """Learn a concept from examples and save it in a small file.

    Concepts among the EXAMPLES are merged, so adding an example or a class needs no training.

    [dim]likewise learn pets/ -o pets.concept[/dim]
    [dim]likewise learn pets.concept more-dogs/ --class dog -o pets.concept[/dim]
    """
    from likewise.jobs.learn import learn_concept

    few_shot = options.open_few_shot(model, network)
    concept = learn_concept(few_shot, examples, unlike=unlike or (), class_name=class_name, **marks.marks())
    path = out if out.suffix == ".concept" else out.with_name(f"{out.name}.concept")
    concept.save(path)
    print_line(f"{path}: {concept}")
