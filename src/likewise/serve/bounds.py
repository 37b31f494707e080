"""Bounds of a server: images in work and waiting, and the size and time of a body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import HTTPException, Request

QUEUE, BODY, BODY_SECONDS = 16, 32 << 20, 30.0
"""Images in work and waiting, bytes of a body, and seconds that a body may take."""


class Slots:
    """Room for images in work and waiting, in one event loop.

    Args:
        most: images at most.
        tell: is called with the number of images at each change.
    """

    def __init__(self, most: int, tell: Callable[[int], object] = lambda used: None) -> None:
        self.most, self.used, self._tell = most, 0, tell

    @asynccontextmanager
    async def hold(self, count: int) -> AsyncIterator[None]:
        """Hold room for images, or refuse with 429; no `await` lies between the check and the count."""
        if self.used + count > self.most:
            raise HTTPException(429, f"{self.used} images are waiting; try again", {"Retry-After": "1"})
        self.used += count
        self._tell(self.used)
        try:
            yield
        finally:
            self.used -= count
            self._tell(self.used)


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request, or refuse one that is too large or too slow."""
    too_large = HTTPException(413, f"the body is larger than {most} bytes")
    if (
        request.headers.get("content-length", "0").isdecimal()
        and int(request.headers.get("content-length", "0")) > most
    ):
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > most:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {BODY_SECONDS:.0f} seconds") from None
    return bytes(content)
