"""The command class: options with several values, options of all commands, and the message after an interruption."""

import os
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, get_type_hints

from typer import Typer
from typer.core import MARKUP_MODE_KEY, TyperCommand

from likewise.cli import console
from likewise.errors import requires_extra

WORDS = "[a-z-]+"
NUMBERS = "[-+0-9.,e]+"
SEVERAL = {"--format": WORDS, "-f": WORDS, "--box": NUMBERS, "--scales": NUMBERS, "--points": "[-+0-9.,e ]+"}
"""Options that take all following values of this form, up to a file: ``--format mask overlay``."""

LEAST_COLUMNS = 80
"""Width in characters of the terminal from which on help is a table."""

LEVELS = {"-q": -1, "--quiet": -1, "-v": 1, "--verbose": 1}
"""Options of all commands, and the `likewise.cli.console.verbosity` that they set."""


class Command(TyperCommand):
    """A command of the program.

    `resumes` says whether the same command continues after an interruption.
    """

    resumes: bool = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.epilog = self.epilog or "-q, --quiet: print errors only. -v, --verbose: print the traceback of errors."

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help: a table, or plain text where the columns of a table would be too narrow for their words."""
        from rich.markup import render

        if get_terminal_size().columns >= LEAST_COLUMNS:
            super().format_help(ctx, formatter)
        else:
            ctx.obj = {MARKUP_MODE_KEY: self.rich_markup_mode}
            super(TyperCommand, self).format_help(ctx, formatter)
            formatter.buffer = [render(formatter.getvalue()).plain]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        expanded: list[str] = []
        option, values = None, 0
        names = {name for parameter in self.params for name in parameter.opts}
        valued = {name for each in self.params if not getattr(each, "is_flag", True) for name in each.opts}
        for position, argument in enumerate(args):
            if argument == "--":
                return super().parse_args(ctx, expanded + args[position:])
            argument = expand_home(argument)
            if argument in LEVELS:
                console.verbosity = LEVELS[argument]
                continue
            if argument in names and expanded and expanded[-1] in valued:
                ctx.fail(f"Option '{expanded[-1]}' requires an argument.")
            if argument.startswith("-") and len(argument) > 1:
                option, values = (argument, 0) if argument in names & SEVERAL.keys() else (None, 0)
            elif option is not None:
                if values and re.fullmatch(SEVERAL[option], argument) and not Path(argument).exists():
                    expanded.append(option)
                elif values:
                    option = None
                values += 1
            expanded.append(argument)
        return super().parse_args(ctx, expanded)

    def invoke(self, ctx: Any) -> Any:
        try:
            with requires_extra("torch", f"`{ctx.command_path}`"):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            console.print_error("interrupted; run the same command again to resume" if self.resumes else "interrupted")
            raise


def expand_home(argument: str) -> str:
    """Return ``--out=~/masks`` or ``data.root=~/street`` with the home of the user, which few shells put there."""
    if "~" not in argument or Path(argument).exists():
        return argument
    # Path.expanduser fails without a home
    return re.sub(r"(?:^|(?<==))~(?=[/\\]|$)", lambda tilde: os.path.expanduser(tilde[0]), argument)  # noqa: PTH111


def register(app: Typer, function: Callable[..., None], name: str | None = None, *, resumes: bool = False) -> None:
    """Add a command to a group; its name is that of the function unless given.

    A parameter that is a dataclass of `likewise.cli.options` stands for an option for each field.
    """
    parameters: list[Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for each in signature(function, eval_str=True).parameters.values():
        kind = each.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            fields, types = signature(kind).parameters, get_type_hints(kind, include_extras=True)
            groups[each.name] = kind, list(fields)
            parameters += [field.replace(annotation=types[field.name]) for field in fields.values()]
        else:
            parameters.append(each)

    @wraps(function)
    def run(**given: Any) -> None:
        for group, (kind, fields) in groups.items():
            given[group] = kind(**{field: given.pop(field) for field in fields})
        function(**given)

    keywords = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
    run.__signature__ = Signature(keywords)  # type: ignore[attr-defined]
    app.command(name, cls=type("Command", (Command,), {"resumes": resumes}))(run)
