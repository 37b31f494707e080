"""`likewise concept rename`: another name for a class."""

from typing import Annotated

import typer

from likewise.cli.concept.options import File, Out
from likewise.cli.console import print_line


def rename(
    file: File,
    name: Annotated[str, typer.Argument(metavar="CLASS", help="The class.")],
    new: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    out: Out = None,
) -> None:
    """Rename a class of a concept.

    [dim]likewise concept rename pets.concept images cat[/dim]
    """
    from likewise.predict.concept import Concept

    concept = Concept.load(file).renamed(name, new)
    concept.save(out or file)
    print_line(f"{out or file}: {concept}")
