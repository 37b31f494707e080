"""Server-sent events: what changed, to every open page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

KEEP_ALIVE = 15.0
"""Seconds after which a comment is sent, so that a closed connection is noticed."""
MOST_WAITING = 1000
"""Events that wait for a page; a page that reads no more is then disconnected, and loads everything again."""


class Events:
    """Sends each event to all listeners; `send` may be called in any thread."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}

    def send(self, event: str, **data: Any) -> None:
        text = f"event: {event}\ndata: {json.dumps(data)}\n\n"
        for queue, loop in list(self._listeners.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_put, queue, text)

    def close(self) -> None:
        """End all streams."""
        for queue, loop in list(self._listeners.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_end, queue)

    async def listen(self) -> AsyncIterator[str]:
        """Yield the text of each event."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), KEEP_ALIVE)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            del self._listeners[queue]


def _put(queue: asyncio.Queue[str | None], text: str) -> None:
    if queue.full():
        _end(queue)
    else:
        queue.put_nowait(text)


def _end(queue: asyncio.Queue[str | None]) -> None:
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
