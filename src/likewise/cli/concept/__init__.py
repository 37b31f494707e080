"""`likewise concept`: what saved concepts hold, and changes of them."""

import typer

from likewise.cli.commands import register
from likewise.cli.concept.push import push
from likewise.cli.concept.remove import remove
from likewise.cli.concept.rename import rename
from likewise.cli.concept.show import show

app = typer.Typer(no_args_is_help=True, help="Look into saved concepts and change them.")
for each in (show, remove, rename, push):
    register(app, each)
