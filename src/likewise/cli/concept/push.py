"""`likewise concept push`: upload a concept."""

from typing import Annotated

import typer

from likewise.cli.concept.options import File
from likewise.cli.console import print_line


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
