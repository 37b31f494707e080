"""`likewise serve`: concepts over HTTP, for programs and for Label Studio."""

from typing import Any

import typer
from typer.core import TyperGroup

from likewise.cli.commands import register
from likewise.cli.serve.concept import concept
from likewise.cli.serve.label_studio import label_studio


class ConceptFirst(TyperGroup):
    """A group that reads ``serve --like ...`` as ``serve concept --like ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["concept", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ConceptFirst,
    no_args_is_help=True,
    help="Answer other programs over HTTP.\n\n"
    "[bold]likewise serve --like cat.concept[/bold] answers images with their masks.",
)
register(app, concept)
register(app, label_studio)
