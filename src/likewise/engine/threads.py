"""Threads: one for each matrix product of ours, and several images at once instead.

The matrices of one image are small. A BLAS that shares each product among all cores lets threads spin between products:
on two cores that takes 105 ms of processor time an image for 65 ms with one thread, and saves nothing on the clock (40
photographs of 500x375, `prototypes-lite0`). Two images at once then use both cores: 30 a second for 20
(benchmarks/engines.py measures folders).
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

MOST_IMAGES = 4
"""Images at once; each takes up to 100 MB, and the networks have threads of their own."""


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within this, BLAS computes each matrix product in one thread.

    The limit is that of the process: enter before threads that compute are started. Inside of another thread's it
    changes nothing.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> Any:
    import numpy  # noqa: F401 (its BLAS is found if it is loaded)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def images_at_once() -> int:
    """Return how many images are best segmented at the same time on this machine's processors."""
    return min(MOST_IMAGES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
