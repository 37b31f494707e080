"""The command class: options with several values, and the message after an interruption."""

from typing import Any

from typer.core import TyperCommand

from likewise.cli.console import print_error
from likewise.errors import requires_extra


class Command(TyperCommand):
    """A command of the program.

    Options in `several` take all values up to the next option: ``--format mask overlay``. `resumes` says whether the
    same command continues after an interruption.
    """

    several: tuple[str, ...] = ()
    resumes: bool = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        expanded: list[str] = []
        option, values = None, 0
        names = {name for parameter in self.params for name in parameter.opts}
        for position, argument in enumerate(args):
            if argument == "--":
                return super().parse_args(ctx, expanded + args[position:])
            if option is not None and not values and argument in names:
                ctx.fail(f"Option '{option}' requires an argument.")
            if argument.startswith("-") and len(argument) > 1:
                option, values = (argument, 0) if argument in self.several else (None, 0)
            elif option is not None:
                if values:
                    expanded.append(option)
                values += 1
            expanded.append(argument)
        return super().parse_args(ctx, expanded)

    def invoke(self, ctx: Any) -> Any:
        try:
            with requires_extra("torch", f"`{ctx.command_path}`"):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            print_error("interrupted; run the same command again to resume" if self.resumes else "interrupted")
            raise


def command(*several: str, resumes: bool = False) -> type[Command]:
    """Return a command class with these attributes."""
    return type("Command", (Command,), {"several": several, "resumes": resumes})
