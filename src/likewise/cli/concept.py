"""`likewise concept`: what saved concepts hold, and changes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.commands import command
from likewise.cli.console import new_table, print_line, print_table
from likewise.errors import unmarked

app = typer.Typer(no_args_is_help=True, help="Look into saved concepts and change them.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="A .concept file.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The changed concept. \\[the same file]")]


@app.command("show", cls=command())
def show(
    file: File,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="IMAGE", help="Draw the examples with their objects outlined.")
    ] = None,
) -> None:
    """List the classes and examples of a concept.

    [dim]likewise concept show pets.concept -o examples.png[/dim]
    """
    from likewise.io.images import save_image
    from likewise.predict.concept import Concept

    concept = Concept.load(file)
    print_line(f"{file}: {concept}, input side {concept.side}, weights {concept.fingerprint}")
    table = new_table("example", "class")
    for name, index in zip(concept.names, concept.class_of, strict=True):
        table.add_row(unmarked(name), unmarked(concept.classes[index]))
    print_table(table)
    if out is not None:
        save_image(concept.overlay(), out)
        print_line(str(out))


@app.command("remove", cls=command())
def remove(
    file: File,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Classes, or file names of examples.")],
    out: Out = None,
) -> None:
    """Remove classes or examples from a concept.

    [dim]likewise concept remove pets.concept dog blurred.jpg[/dim]
    """
    from likewise.predict.concept import Concept

    concept = Concept.load(file)
    for name in names:
        concept = concept.without(name)
    concept.save(out or file)
    print_line(f"{out or file}: {concept}")


@app.command("rename", cls=command())
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


@app.command("push", cls=command())
def push(
    file: File,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="hf://owner/name/cat.concept")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="For a new repository. \\[the account's default]")
    ] = None,
) -> None:
    """Upload a concept to the Hugging Face hub, with the thumbnails and file names of its examples.

    [dim]likewise concept push cat.concept hf://owner/name/cat.concept[/dim]
    """
    from likewise.predict.concept import Concept

    print_line(Concept.load(file).push_to_hub(address, private=private))
