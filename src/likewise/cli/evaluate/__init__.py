"""`likewise evaluate`: measure a model, or predictions of another program, under a named protocol."""

from typing import Any

import typer
from typer.core import TyperGroup

from likewise.cli.commands import register
from likewise.cli.evaluate.episodes import episodes
from likewise.cli.evaluate.groups import groups
from likewise.cli.evaluate.leakage import leakage
from likewise.cli.evaluate.predict import predict
from likewise.cli.evaluate.scenes import scenes
from likewise.cli.evaluate.score import score


class ModelFirst(TyperGroup):
    """A group that reads ``evaluate MODEL ...`` as ``evaluate predict MODEL ... --score``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["predict", *args, "--score"]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ModelFirst,
    no_args_is_help=True,
    help="Measure a model, or predictions of another program, under a named protocol.\n\n"
    "[bold]likewise evaluate MODEL --protocol P --data D -o RUN[/bold] predicts and scores.",
)
register(app, predict, resumes=True)
register(app, score)
register(app, episodes)
register(app, groups)
register(app, scenes, resumes=True)
register(app, leakage)
