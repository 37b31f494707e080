"""The command line: each command a thin call into the library, which loads when a command first needs it."""

import sys
import warnings

import typer

from likewise.cli import (
    bench,
    evaluation,
    few_shot,
    groups,
    scenes,
    training,
    weights,
)
from likewise.cli.few_shot import SeveralValues
from likewise.cli.options import complain
from likewise.cli.scenes import SeveralFormats

app = typer.Typer(
    name="likewise",
    help="Show it one; it segments the rest: masks in an image, found by looking at other images.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command(cls=SeveralValues)(few_shot.segment)
app.command(cls=SeveralValues)(few_shot.learn)
app.command(cls=SeveralValues)(groups.cosegment)
app.command(cls=SeveralValues)(groups.saliency)
app.command()(few_shot.demo)
app.command()(few_shot.models)
app.command()(few_shot.backbones)
app.command(cls=SeveralFormats)(scenes.parse)
app.add_typer(scenes.memory, name="memory")
app.add_typer(evaluation.app, name="evaluate")
app.command()(training.train)
app.command()(training.recipes)
app.add_typer(weights.app, name="weights")
app.add_typer(bench.app, name="bench")

STOPPED = 130
"""The exit code of a command that was interrupted; typer has it too, and says nothing."""


def main() -> None:
    """Run the command line; what people can mend is told in one line, without a traceback."""
    warnings.showwarning = lambda message, *_: complain(f"likewise: warning: {message}")
    try:
        app()
    except (ValueError, OSError) as error:
        complain(f"likewise: {error}")
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != STOPPED:
            raise
        complain("stopped; start the same command again to go on")
        sys.exit(STOPPED)
