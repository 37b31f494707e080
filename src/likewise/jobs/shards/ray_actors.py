"""Work on shards in the actors of a Ray cluster, one model each. Needs the extra `ray`.

Ray moves numbers of shards only. State is the outputs, which actors write, so an actor, a node or the caller may end at
any time. Shards of dead actors are handed out again here: Ray's own retries wait for an actor that perhaps no node has
room for. Only actors that are open get a shard, so a cluster with fewer processors than actors works on all shards too.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from likewise.errors import LikewiseError, OutputError, counted, requires_extra
from likewise.jobs.shards.storage import is_local, open_address
from likewise.jobs.shards.work import Done, Worker

PATIENCE = 3
"""Actors that may die on one shard."""
ROOM = 600.0
"""Seconds to wait for the first open actor, or for one after all have died; a cluster may have to start machines."""
STORE = 100_000_000
"""Bytes of the object store of a local Ray, without decoded images: it holds numbers of shards only."""
TASK_BYTES = 40_000_000
"""Further bytes for the images of a decoding task; eight with a short side of 750 pixels and 3:2 take 20 MB."""
DECODERS = 4
"""Decoding tasks ahead for each actor with a GPU."""


class Actor:
    """A `Worker` in a process of its own; it is opened by a call, whose errors reach the caller."""

    def open(self, out: str, device: str, memory: str | None, decoders: int) -> None:
        """Open the model; errors as for `Worker`.

        Args:
            decoders: tasks ahead that read its images; with 0 it reads them itself.
        """
        if not decoders:
            self._worker = Worker(out, device=device, memory=memory)
            return
        from likewise.jobs.shards.ray_readers import read_in_tasks

        self._worker = Worker(out, device=device, memory=memory, read_all=partial(read_in_tasks, tasks=decoders))

    def work(self, shard: int, again: bool) -> Done:
        """Write the output of a shard; errors as for `Worker.work`."""
        return self._worker.work(shard, again=again)


def work_in_actors(
    shards: Sequence[int],
    settings: tuple[str, str, str | None],
    again: bool,
    workers: int,
    address: str | None,
    decoders: int | None = None,
) -> Iterator[Done]:
    """Yield each shard when it is done.

    Args:
        settings: address of the job, device, memory. With "cuda" each actor reserves a GPU.
        workers: number of actors.
        decoders: tasks ahead that read and decode the images of an actor, on any node, with a processor each; the actor
            then reserves none. With 0 the actor reads its images itself, and reserves one. Defaults to `DECODERS` with
            "cuda" and to 0 without.
        address: of a running cluster; by default $RAY_ADDRESS, or a Ray of this machine that ends with the job. A
            process that is connected to Ray already stays so.

    Raises:
        OutputError: what `Worker` raises; no such cluster; no room for an actor; or actors that die.
    """
    if decoders is None:
        decoders = DECODERS if settings[1].startswith("cuda") else 0
    with requires_extra("ray", "likewise jobs --engine ray"):
        import ray
        import ray.exceptions  # fails for an empty folder named ray, such as Ray's own in /tmp
    out, device, memory = settings
    fs, path = open_address(out)
    settings = (path if is_local(fs) else out), device, memory  # actors have another working directory
    gpus = int(device.startswith("cuda"))
    made: Any = ray.remote(num_cpus=int(not decoders), num_gpus=gpus, max_restarts=0)(Actor)
    waiting, deaths = list(reversed(shards)), Counter[int | None]()
    calls: dict[Any, tuple[Any, int | None]] = {}  # with the actor and its shard; None while it opens

    def start() -> None:
        actor = made.remote()
        calls[actor.open.remote(*settings, decoders)] = actor, None

    with _connected(ray, address, min(workers, len(shards)), decoders):
        for _ in range(min(workers, len(shards))):
            start()
        left = len(shards)
        while left:
            ended, _ = ray.wait(list(calls), timeout=ROOM)
            if not ended:
                if all(shard is None for _, shard in calls.values()):
                    raise OutputError(
                        f"{out}: Ray has had no room for an actor for {ROOM:.0f} seconds; it has {_resources(ray)}; "
                        "an actor needs a CPU, and with --device cuda a GPU"
                    )
                continue
            actor, shard = calls.pop(ended[0])
            try:
                result = ray.get(ended[0])
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, LikewiseError) else error) from None
            except ray.exceptions.RayError as error:
                deaths[shard] += 1
                if deaths[shard] == (PATIENCE * workers if shard is None else PATIENCE):
                    raise OutputError(
                        f"{out}: {counted(deaths[shard], 'Ray actor')} died "
                        f"{'opening the model' if shard is None else f'on shard {shard}'} ({_reason(error)}), perhaps "
                        f"for lack of memory; {counted(left, 'shard')} left: allow less with --memory, or fewer "
                        "--workers"
                    ) from error
                if shard is not None:
                    waiting.append(shard)
                ray.kill(actor)  # it may live on, where the network failed
                start()
                continue
            if shard is None:
                deaths[None] = 0
            else:
                left -= 1
                yield result
            if waiting:
                shard = waiting.pop()
                calls[actor.work.remote(shard, again)] = actor, shard
            else:
                ray.kill(actor)  # makes room for the replacement of a dead one


@contextlib.contextmanager
def _connected(ray: Any, address: str | None, workers: int, decoders: int) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports the run to its makers
        store = STORE + workers * (decoders and decoders + 1) * TASK_BYTES
        own = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": store}
    try:
        _find(address)
        ray.init(address, log_to_driver=False, logging_level="error", **own)
    except Exception as error:
        advice = "name a running cluster, as host:port, or leave --address out"
        if address == "local":
            advice = "free memory and processors, or take --engine processes"
        raise OutputError(f"Ray at {address} cannot be reached ({_reason(error)}); {advice}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _find(address: str) -> None:
    """Raise an `OSError` unless something listens at a host and port: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _resources(ray: Any) -> str:
    found = ray.cluster_resources()
    return ", ".join(f"{found.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
