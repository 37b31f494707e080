"""Options that the commands of `likewise concept` share."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="A .concept file.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The changed concept. \\[the same file]")]
