"""`likewise concept show`: the classes and examples of a concept."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.concept.options import File
from likewise.cli.console import new_table, print_line, print_table
from likewise.errors import unmarked


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
    for at, (name, index) in enumerate(zip(concept.names, concept.class_of, strict=True)):
        negative = "not " if concept.is_negative(at) else ""
        table.add_row(unmarked(name), f"{negative}{unmarked(concept.classes[index])}")
    print_table(table)
    if out is not None:
        save_image(concept.overlay(), out)
        print_line(str(out))
