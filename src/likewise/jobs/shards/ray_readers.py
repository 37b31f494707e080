"""Read and decode images in tasks of a Ray cluster, apart from the actors with the models. Needs the extra `ray`.

A GPU waits for its images where one actor reads and decodes them. Here tasks with a processor each, on any node, do so
some images ahead, and the pixels travel through Ray's object store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice

import ray
import ray.exceptions

from likewise.errors import ImageError, OutputError
from likewise.io.images import ScaledImage
from likewise.jobs.shards.storage import Listed
from likewise.jobs.shards.work import Read

IMAGES = 8
"""Images of a task."""
PATIENCE = 600.0
"""Seconds to wait for a task; a cluster may have to start machines."""


def read_in_tasks(
    images: Sequence[Listed], read: Read, *, tasks: int
) -> Generator[tuple[Listed, Future[ScaledImage]], None, None]:
    """Yield each image with the future of its pixels, in order.

    Ray repeats a task whose process dies. Where it still dies, its images are read one by one, so that only those that
    end a process fail.

    Args:
        tasks: this many are in work ahead.

    Raises:
        OutputError: no processor for a task in `PATIENCE` seconds.
    """
    task = ray.remote(num_cpus=1)(read_some)
    rest = iter(images)
    waiting: deque[tuple[list[Listed], ray.ObjectRef]] = deque()

    def submit(chunk: list[Listed]) -> tuple[list[Listed], ray.ObjectRef]:
        return chunk, task.remote(read, chunk)

    while True:
        while len(waiting) < tasks and (chunk := list(islice(rest, IMAGES))):
            waiting.append(submit(chunk))
        if not waiting:
            return
        chunk, reference = waiting.popleft()
        try:
            outcomes = ray.get(reference, timeout=PATIENCE)
        except ray.exceptions.GetTimeoutError as error:
            raise OutputError(
                f"no image was read in {PATIENCE:.0f} seconds: the cluster has no processor to read {chunk[0].path}; "
                "add one, or pass --decoders 0"
            ) from error
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            if len(chunk) > 1:
                waiting.extendleft(submit([image]) for image in reversed(chunk))
                continue
            outcomes = [ImageError(f"reading it ended a process ({type(error).__name__}), perhaps for lack of memory")]
        for image, outcome in zip(chunk, outcomes, strict=True):
            future: Future[ScaledImage] = Future()
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
            yield image, future


def read_some(read: Read, images: Sequence[Listed]) -> list[ScaledImage | Exception]:
    """Return the pixels of each image, or why there are none."""
    outcomes: list[ScaledImage | Exception] = []
    for image in images:
        try:
            outcomes.append(replace(read(image), source=None))  # results of shards need no pixel of the whole image
        except Exception as error:  # any failure concerns this image only
            outcomes.append(error)
    return outcomes
