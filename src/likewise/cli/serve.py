"""`likewise serve`: one concept behind one HTTP endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from likewise.cli import options
from likewise.errors import requires_extra
from likewise.weights import DEFAULT_MODEL, PRESENCE


def serve(
    like: options.Like,
    unlike: options.Unlike = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on. Others than 127.0.0.1 let other machines in, and need a token in the "
            "environment variable LIKEWISE_SERVE_TOKEN.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8790,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Images in work and waiting; more get 429.")] = 16,
    body: Annotated[
        str, typer.Option("--body", metavar="SIZE", help="Largest request; a larger one gets 413.")
    ] = "32M",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Threads that segment.")] = 1,
    model: options.Model = DEFAULT_MODEL,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    engine: options.Engine = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    edges: options.Edges = True,
    presence: options.Presence = PRESENCE,
    always: options.Always = False,
    world: options.World = None,
    token: Annotated[str | None, typer.Option(envvar="LIKEWISE_SERVE_TOKEN", hidden=True)] = None,
) -> None:
    """Answer images over HTTP with their masks: POST /segment, GET /health, GET /metrics.

    [dim]likewise serve --like cat.concept[/dim]
    [dim]curl --data-binary @photo.jpg http://127.0.0.1:8790/segment > mask.png[/dim]
    """
    from likewise.io.memory import parse_size
    from likewise.jobs.segment import learn_concept

    with requires_extra("serve", "the server"):
        from likewise.serve.server import serve as run
    judging = {"presence": 0.0 if always else presence, "world": world}
    few_shot = options.open_few_shot(
        model, backbone, weights, side, device, precision, engine=engine, edges=edges, **judging
    )
    segmenter = few_shot.prepare(learn_concept(few_shot, like, unlike=unlike or ()))
    run(segmenter, host=host, port=port, queue=queue, body=parse_size(body), workers=workers, token=token)
