"""Reading ahead: the next items are read in threads while the current one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

AHEAD = 4
"""Items read ahead of the one in work. Each may be an image of some 100 MB in memory."""
READERS = 2
"""Reader threads: decoding one image while another is fetched keeps a disk and a processor busy."""


def prefetch(
    items: Iterable[Item], read: Callable[[Item], Value], *, ahead: int = AHEAD
) -> Iterator[tuple[Item, Future[Value]]]:
    """Each item with the future of `read(item)`, in order; any number of items, of which `ahead` are read early.

    An exception that `read` raises comes from the future's `result()`.
    """
    with ThreadPoolExecutor(READERS) as readers:
        rest = iter(items)
        waiting = deque((item, readers.submit(read, item)) for item in islice(rest, ahead))
        while waiting:
            yield waiting.popleft()
            waiting.extend((item, readers.submit(read, item)) for item in islice(rest, 1))
