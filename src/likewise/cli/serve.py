"""`likewise serve`: concepts over HTTP, for programs and for Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from likewise.cli import options
from likewise.cli.commands import command
from likewise.errors import requires_extra
from likewise.weights import DEFAULT_MODEL, PRESENCE


class ConceptFirst(TyperGroup):
    """A group that reads ``serve --like ...`` as ``serve concept --like ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["concept", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ConceptFirst,
    no_args_is_help=True,
    help="Answer other programs over HTTP.\n\n"
    "[bold]likewise serve --like cat.concept[/bold] answers images with their masks.",
)
Token = Annotated[str | None, typer.Option(envvar="LIKEWISE_SERVE_TOKEN", hidden=True)]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to listen on. Others than 127.0.0.1 let other machines in, and need a token in the "
        "environment variable LIKEWISE_SERVE_TOKEN.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Threads that segment. \\[one a processor, at most 4; 1 with torch]"),
]


@app.command("concept", cls=command())
def concept(
    like: options.Like,
    unlike: options.Unlike = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8790,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Images in work and waiting; more get 429.")] = 16,
    body: Annotated[
        str, typer.Option("--body", metavar="SIZE", help="Largest request; a larger one gets 413.")
    ] = "32M",
    workers: Workers = None,
    model: options.Model = DEFAULT_MODEL,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    quality: options.Quality = None,
    edges: options.Edges = True,
    presence: options.Presence = PRESENCE,
    always: options.Always = False,
    world: options.World = None,
    token: Token = None,
) -> None:
    """Answer images over HTTP with their masks: POST /segment, GET /health, GET /metrics.

    [dim]likewise serve --like cat.concept[/dim]
    [dim]curl --data-binary @photo.jpg http://127.0.0.1:8790/segment > mask.png[/dim]
    """
    from likewise.io.memory import parse_size
    from likewise.jobs.learn import learn_concept

    with requires_extra("serve", "the server"):
        from likewise.serve.server import serve as run
    judging = {"presence": 0.0 if always else presence, "world": world}
    looks = {"engine": engine, "quality": quality, "edges": edges}
    few_shot = options.open_few_shot(model, backbone, weights, side, device, precision, **looks, **judging)
    segmenter = few_shot.prepare(learn_concept(few_shot, like, unlike=unlike or ()))
    run(
        segmenter,
        host=host,
        port=port,
        queue=queue,
        body=parse_size(body),
        workers=workers or few_shot.at_once,
        token=token,
    )


@app.command("label-studio", cls=command())
def label_studio(
    folder: Annotated[Path, typer.Argument(help="Folder of the concepts, one a project.")] = Path("label-studio"),
    label_studio: Annotated[
        str,
        typer.Option(
            "--label-studio",
            metavar="URL",
            help="Address of Label Studio. The access token of an account, in the environment variable "
            "LABEL_STUDIO_API_KEY, lets the backend read uploads and earlier annotations.",
        ),
    ] = "http://127.0.0.1:8080",
    local_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--local-files",
            metavar="FOLDER",
            help="Label Studio's document root of local files, if this machine has it. \\[Label Studio is asked]",
        ),
    ] = None,
    images_from: Annotated[
        list[str] | None,
        typer.Option(
            "--images-from",
            metavar="URL",
            help="Another server that images may be read from, such as https://images.example; may be repeated.",
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 9090,
    workers: Workers = None,
    edges: options.Edges = True,
    presence: options.Presence = PRESENCE,
    always: options.Always = False,
    token: Token = None,
    api_key: Annotated[str | None, typer.Option(envvar="LABEL_STUDIO_API_KEY", hidden=True)] = None,
) -> None:
    """Be a machine learning backend of Label Studio: smart boxes and clicks, and predictions that learn.

    [dim]likewise serve label-studio --label-studio http://127.0.0.1:8080[/dim]
    """
    with requires_extra("serve", "the backend"):
        from likewise.serve.label_studio.server import serve as run
    from likewise.predict.few_shot import FewShot

    few_shot = FewShot(edges=edges, presence=0.0 if always else presence)
    run(
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
