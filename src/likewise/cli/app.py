"""`likewise app`: mark, see all, correct and export in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.errors import requires_extra

Photos = Annotated[Path | None, typer.Argument(metavar="PHOTOS", help="Folder of images. \\[chosen in the page]")]
Folder = Annotated[
    Path | None, typer.Option("--project", help="Folder of decisions and masks. \\[.likewise-app in PHOTOS]")
]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="\\[the first free one from 8765 on]")]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to listen on. Others than 127.0.0.1 let other machines in, and need a password in the "
        "environment variable LIKEWISE_APP_PASSWORD.",
    ),
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the link, open no browser.")]
Password = Annotated[str | None, typer.Option(envvar="LIKEWISE_APP_PASSWORD", hidden=True)]


def app(
    photos: Photos = None,
    project: Folder = None,
    port: Port = None,
    host: Host = "127.0.0.1",
    no_browser: NoBrowser = False,
    password: Password = None,
) -> None:
    """Mark one image in the browser, see all, correct the worst, export.

    Runs locally: no account, no network.

    [dim]likewise app photos/[/dim]
    """
    with requires_extra("app", "the app"):
        from likewise.app.server import serve
    serve(photos, project=project, host=host, port=port, browser=not no_browser, password=password)
