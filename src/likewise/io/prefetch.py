"""Read the next items in threads while the caller processes the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

AHEAD = 4
"""Number of items read ahead. Each may be an image of about 100 MB in memory."""
READERS = 2
"""Number of reader threads: one decodes an image while the other waits for the disk."""


def prefetch(
    items: Iterable[Item], read: Callable[[Item], Value], *, ahead: int = AHEAD
) -> Generator[tuple[Item, Future[Value]], None, None]:
    """Yield each item with the future of ``read(item)``, in order; at most `ahead` items are read early.

    The future's ``result()`` raises what `read` raised.
    """
    with ThreadPoolExecutor(READERS) as readers:
        rest = iter(items)
        waiting = deque((item, readers.submit(read, item)) for item in islice(rest, ahead))
        while waiting:
            yield waiting.popleft()
            waiting.extend((item, readers.submit(read, item)) for item in islice(rest, 1))
