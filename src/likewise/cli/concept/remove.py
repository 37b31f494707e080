"""`likewise concept remove`: a concept without a class or an example."""

from typing import Annotated

import typer

from likewise.cli.concept.options import File, Out
from likewise.cli.console import print_line


def remove(
    file: File,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Classes, or file names of examples.")],
    class_name: Annotated[
        str | None, typer.Option("--class", help="Remove the files' examples of this class; other classes keep theirs.")
    ] = None,
    out: Out = None,
) -> None:
    """Remove classes or examples from a concept.

    [dim]likewise concept remove pets.concept dog blurred.jpg[/dim]
    """
    from likewise.predict.concept import Concept

    concept = Concept.load(file)
    for name in names:
        concept = concept.without(name, of=class_name)
    concept.save(out or file)
    print_line(f"{out or file}: {concept}")
