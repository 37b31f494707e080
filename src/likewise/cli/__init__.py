"""The command line. Each command is a call of the library, which loads when the command runs."""

import sys
import traceback
import warnings
from io import TextIOWrapper
from types import MethodType
from typing import Annotated

import typer

from likewise.cli import concept, console, evaluate, jobs, memory, serve, weights
from likewise.cli.app import app as serve_app
from likewise.cli.backbones import backbones
from likewise.cli.commands import register
from likewise.cli.console import print_error, print_line
from likewise.cli.convert import convert
from likewise.cli.cosegment import cosegment
from likewise.cli.demo import demo
from likewise.cli.export import export
from likewise.cli.learn import learn
from likewise.cli.models import models
from likewise.cli.parse import parse
from likewise.cli.recipes import recipes
from likewise.cli.saliency import saliency
from likewise.cli.segment import segment
from likewise.cli.train import train
from likewise.cli.watch import watch
from likewise.cli.world import world
from likewise.errors import ArgumentError, LikewiseError
from likewise.version import __version__

app = typer.Typer(
    name="likewise",
    help="Show it one; it segments the rest: masks in an image, found by looking at other images.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def print_version(requested: bool) -> bool:
    """Print the version and exit, if requested."""
    if requested:
        print_line(f"likewise {__version__}")
        raise typer.Exit
    return requested


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None: ...


register(app, segment, resumes=True)
register(app, learn)
register(app, world)
register(app, cosegment, resumes=True)
register(app, saliency, resumes=True)
register(app, parse, resumes=True)
register(app, serve_app)
register(app, convert)
register(app, watch, resumes=True)
register(app, export)
register(app, demo)
register(app, models)
register(app, backbones)
register(app, train, resumes=True)
register(app, recipes)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(concept.app, name="concept")
app.add_typer(jobs.app, name="jobs")
app.add_typer(serve.app, name="serve")
app.add_typer(memory.app, name="memory")
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line. A `LikewiseError` becomes one line and exit code 2; any other error shows a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal or file may not hold every letter
            stream.reconfigure(errors="backslashreplace")
    console.verbosity = 0
    warnings.showwarning = lambda message, *_: print_error(f"likewise: warning: {message}")
    try:
        if not all(word.strip() for word in sys.argv[1:]):  # Path("") would be the current folder
            raise ArgumentError("a word of the command is empty, perhaps a variable that is not set; give a value")
        sys.exit(app(prog_name="likewise", standalone_mode=False))
    except (LikewiseError, MemoryError) as error:
        print_error(f"likewise: {error or 'out of memory; allow less with --memory'}")
        if console.verbosity > 0 and error.__cause__:
            for line in "".join(traceback.format_exception(error.__cause__)).splitlines():
                print_error(line)
        sys.exit(2)
    except OSError as error:  # such as a name that is too long for the system
        if error.filename is None or console.verbosity > 0:
            raise
        print_error(f"likewise: {error.filename}: {error.strerror}; -v shows where")
        sys.exit(2)
    except Exception as error:
        if not isinstance(show := getattr(error, "format_message", None), MethodType):
            raise
        context = getattr(error, "ctx", None)  # a wrong word on the command line; click's class is private to typer
        if said := show():  # empty where help was printed for lack of words
            said += "" if said.endswith((".", "?")) else "."
            print_error(f"likewise: {said}" + (f" See {context.command_path} -h." if context else ""))
        sys.exit(2)
