"""`likewise serve concept`: a server that answers images with their masks."""

from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.serve.options import Host, Port, Token, Workers
from likewise.errors import requires_extra
from likewise.weights import DEFAULT_MODEL


def concept(
    like: options.Like,
    *,
    unlike: options.Unlike = None,
    host: Host = "127.0.0.1",
    port: Port = 8790,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Images in work and waiting; more get 429.")] = 16,
    body: Annotated[
        str, typer.Option("--body", metavar="SIZE", help="Largest request; a larger one gets 413.")
    ] = "32M",
    workers: Workers = None,
    model: options.Model = DEFAULT_MODEL,
    network: options.SegmenterOptions,
    presence: options.PresenceOptions,
    token: Token = None,
) -> None:
    """Answer images over HTTP with their masks: POST /segment, GET /health, GET /metrics.

    [dim]likewise serve --like cat.concept[/dim]
    [dim]curl --data-binary @photo.jpg http://127.0.0.1:8790/segment > mask.png[/dim]
    """
    from likewise.io.memory import parse_size
    from likewise.jobs.learn import learn_concept

    with requires_extra("serve", "the server"):
        from likewise.serve.server import serve
    few_shot = options.open_few_shot(model, network, presence)
    segmenter = few_shot.prepare(learn_concept(few_shot, like, unlike=unlike or ()))
    threads = workers or few_shot.at_once
    serve(segmenter, host=host, port=port, queue=queue, body=parse_size(body), workers=threads, token=token)
