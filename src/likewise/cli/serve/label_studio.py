"""`likewise serve label-studio`: a machine learning backend of Label Studio."""

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.serve.options import Host, Port, Token, Workers
from likewise.errors import requires_extra
from likewise.weights import PRESENCE

LabelStudio = Annotated[
    str,
    typer.Option(
        "--label-studio",
        metavar="URL",
        help="Address of Label Studio. The access token of an account, in the environment variable "
        "LABEL_STUDIO_API_KEY, lets the backend read uploads and earlier annotations.",
    ),
]
LOCAL_FILES = "Label Studio's document root of local files, if this machine has it. \\[Label Studio is asked]"
IMAGES_FROM = "Another server that images may be read from, such as https://images.example; may be repeated."


def label_studio(
    folder: Annotated[Path, typer.Argument(help="Folder of the concepts, one per project.")] = Path("label-studio"),
    label_studio: LabelStudio = "http://127.0.0.1:8080",
    local_files: Annotated[list[Path] | None, typer.Option(metavar="FOLDER", help=LOCAL_FILES)] = None,
    images_from: Annotated[list[str] | None, typer.Option(metavar="URL", help=IMAGES_FROM)] = None,
    host: Host = "127.0.0.1",
    port: Port = 9090,
    workers: Workers = None,
    edges: options.Edges = True,
    presence: options.Presence = PRESENCE,
    always: options.Always = False,
    token: Token = None,
    api_key: Annotated[str | None, typer.Option(envvar="LABEL_STUDIO_API_KEY", hidden=True)] = None,
) -> None:
    """Run a machine learning backend of Label Studio: smart boxes and clicks, and predictions from your annotations.

    [dim]likewise serve label-studio --label-studio http://127.0.0.1:8080[/dim]
    """
    with requires_extra("serve", "the backend"):
        from likewise.serve.label_studio.server import serve
    from likewise.predict.few_shot import FewShot

    few_shot = FewShot(edges=edges, presence=0.0 if always else presence)
    serve(
        folder,
        few_shot,
        label_studio=label_studio,
        api_key=api_key or None,
        local_files=local_files or (),
        images_from=images_from or (),
        host=host,
        port=port,
        workers=workers or few_shot.at_once,
        token=token,
    )
