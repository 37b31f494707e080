"""What routes share: the open project, and answers in bytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from likewise.app.masks import Labels, encode_png
from likewise.app.workspace import Open, Workspace
from likewise.errors import ArgumentError

FOREVER = "private, max-age=31536000, immutable"
"""Of answers whose address has a revision."""


def workspace_of(request: Request) -> Workspace:
    return request.app.state.workspace


def open_of(request: Request) -> Open:
    return request.app.state.workspace.open


class TooLargeError(ArgumentError):
    """A body that is too large."""


async def read_body(request: Request, most: int, name: str) -> bytes:
    """Return the body of a request.

    Raises:
        TooLargeError: it has more bytes than `most`.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLargeError(f"{name} is larger than {most >> 20} MiB")
    return bytes(body)


InWorkspace = Annotated[Workspace, Depends(workspace_of)]
InProject = Annotated[Open, Depends(open_of)]


def png(labels: Labels, *, keep: bool = False) -> Response:
    return Response(encode_png(labels), media_type="image/png", headers=caching(keep))


def caching(keep: bool) -> dict[str, str]:
    return {"cache-control": FOREVER if keep else "no-store"}
