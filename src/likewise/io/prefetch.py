"""Process the next items in threads while the caller works with the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

AHEAD = 4
"""Largest number of items read ahead."""
READERS = 2
"""Default number of threads: one decodes an image while the other waits for the disk."""


def prefetch(
    items: Iterable[Item],
    read: Callable[[Item], Value],
    *,
    ahead: int = AHEAD,
    threads: int = READERS,
    cost: Callable[[Item], int] = lambda item: 0,
    budget: int = 0,
) -> Generator[tuple[Item, Future[Value]], None, None]:
    """Yield each item with the future of ``read(item)``, in order; at most `ahead` items are read early.

    The future's ``result()`` raises what `read` raised.

    Args:
        cost: Bytes of memory that an item needs from when it is read until the second item after it is yielded.
        budget: Items are read early only while the sum of their costs is within this.
    """
    readers, abandoned = ThreadPoolExecutor(threads), True
    try:
        rest = iter(items)
        following: Item | None = None
        waiting: deque[tuple[Item, Future[Value], int]] = deque()
        in_use: deque[int] = deque(maxlen=2)  # costs of the caller's item, and of the one before, which it may write
        while True:
            while len(waiting) < ahead:
                if following is None and (following := next(rest, None)) is None:
                    break
                own = cost(following)
                if waiting and own and own + sum(in_use) + sum(each for _, _, each in waiting) > budget:
                    break
                waiting.append((following, readers.submit(read, following), own))
                following = None
            if not waiting:
                abandoned = False  # but the caller may not have waited for all values yet
                return
            item, future, own = waiting.popleft()
            in_use.append(own)
            yield item, future
    finally:
        # no waiting: an abandoned generator may be closed by the garbage collector, which can run while threading holds
        # the lock that a join needs
        readers.shutdown(wait=False, cancel_futures=abandoned)
