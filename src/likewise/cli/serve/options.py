"""Options that the commands of `likewise serve` share."""

from typing import Annotated

import typer

Token = Annotated[str | None, typer.Option(envvar="LIKEWISE_SERVE_TOKEN", hidden=True)]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to listen on. Others than 127.0.0.1 let other machines in, and need a token in the "
        "environment variable LIKEWISE_SERVE_TOKEN.",
    ),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Threads that segment. \\[one per processor, at most 4; 1 with torch]"),
]
