"""Run the shards of a plan: in this process, in several, in a Ray cluster, or a part of them for a scheduler."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from likewise.errors import ArgumentError, OutputError, check_known, counted
from likewise.jobs.shards.plan import Plan, read_plan
from likewise.jobs.shards.storage import Storage
from likewise.jobs.shards.work import Done, Worker, count_rows, finished_shards

ENGINES = ("here", "processes", "ray")
PATIENCE = 3
"""Times that a pool of processes may die without a finished shard in between."""

Progress = Callable[[int, int], None]
"""Called with the number of finished shards and their total."""

_worker: Worker


@dataclass
class Report:
    """The outcome of `run_shards`: numbers of shards done now and earlier, and of images and errors done now."""

    done: int = 0
    skipped: int = 0
    images: int = 0
    errors: int = 0


@dataclass(frozen=True)
class Status:
    """How far a plan is.

    Attributes:
        done: numbers of each finished shard.
        pending: the other shards.
    """

    plan: Plan
    done: list[Done] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Number of images in the finished shards."""
        return sum(each.images for each in self.done)

    @property
    def errors(self) -> int:
        """Number of images in the finished shards that failed."""
        return sum(each.errors for each in self.done)

    @property
    def failed(self) -> list[int]:
        """The finished shards with images that failed."""
        return [each.shard for each in self.done if each.errors]


def run_shards(
    out: str,
    *,
    engine: str = "here",
    workers: int = 2,
    address: str | None = None,
    decoders: int | None = None,
    part: tuple[int, int] = (0, 1),
    again: bool = False,
    device: str = "auto",
    memory: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Work on the shards that are not done; interrupted runs resume. Several machines may do so at the same time.

    Two workers on one shard write the same output, so nothing is lost or counted twice.

    Args:
        out: address of the folder with the plan.
        engine: "here"; "processes": `workers` processes, each with a model of its own; or "ray": `workers` actors.
        address, decoders: of a Ray cluster; see `likewise.jobs.shards.ray_actors.work_in_actors`.
        part: (i, n) takes every n-th shard from i on, for one of n workers.
        again: instead, segment the images that failed in finished shards.
        device, memory: see `Worker`.

    Raises:
        OutputError: no plan, one of another version, or a storage that cannot be reached; finished shards are kept.
        ArgumentError: a part or a number of workers that cannot be, or an address for another engine.
    """
    check_known(engine, ENGINES, "engine of jobs")
    if workers < 1:
        raise ArgumentError(f"{workers} workers; 1 is the least")
    if address is not None and engine != "ray":
        raise ArgumentError(f"an address is that of a Ray cluster, and the engine is {engine}; pass --engine ray")
    if decoders is not None and engine != "ray":
        raise ArgumentError(f"decoders are tasks of Ray, and the engine is {engine}; pass --engine ray")
    if decoders is not None and decoders < 0:
        raise ArgumentError(f"{decoders} decoders; 0 lets each actor read its images itself")
    storage = Storage(out)
    plan = read_plan(storage)
    chosen, finished = plan.of_part(*part), finished_shards(storage)
    if again:
        pending = [shard for shard in chosen if shard in finished and count_rows(storage, plan, shard).errors]
    else:
        pending = [shard for shard in chosen if shard not in finished]
    storage.clean()
    report = Report(skipped=len(chosen) - len(pending))
    if progress:
        progress(report.skipped, len(chosen))
    settings = (out, device, memory)
    if engine == "here":
        results = _here(pending, settings, again)
    elif engine == "processes":
        results = _processes(pending, settings, again, workers)
    else:
        from likewise.jobs.shards.ray_actors import work_in_actors

        results = work_in_actors(pending, settings, again, workers, address, decoders)
    for result in results if pending else ():
        report.done += 1
        report.images += result.images
        report.errors += result.errors
        if progress:
            progress(report.skipped + report.done, len(chosen))
    return report


def _here(shards: Sequence[int], settings: tuple[str, str, str | None], again: bool) -> Iterator[Done]:
    out, device, memory = settings
    worker = Worker(out, device=device, memory=memory)
    for shard in shards:
        yield worker.work(shard, again=again)


def _processes(
    shards: Sequence[int], settings: tuple[str, str, str | None], again: bool, workers: int
) -> Iterator[Done]:
    """Yield each shard when it is done; a pool whose process has died is replaced."""
    pending, failures = dict.fromkeys(shards), 0
    while pending:
        # threads and ONNX Runtime do not survive a fork
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(pending)), context, _open_worker, settings) as pool:
            futures = [pool.submit(_work, shard, again) for shard in pending]
            try:
                for future in as_completed(futures):
                    result = future.result()
                    del pending[result.shard]
                    failures = 0
                    yield result
            except BrokenProcessPool as error:
                failures += 1
                if failures == PATIENCE:
                    raise OutputError(
                        f"{settings[0]}: worker processes died {PATIENCE} times without finishing a shard, perhaps for "
                        f"lack of memory; {counted(len(pending), 'shard')} left: allow less with --memory, or fewer "
                        "--workers"
                    ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _open_worker(out: str, device: str, memory: str | None) -> None:
    global _worker
    _worker = Worker(out, device=device, memory=memory)


def _work(shard: int, again: bool) -> Done:
    return _worker.work(shard, again=again)


def read_status(out: str) -> Status:
    """Return how far a plan is, by the end of each output.

    Raises:
        OutputError: no plan, or an output that is damaged or of another plan.
    """
    storage = Storage(out)
    plan = read_plan(storage)
    finished = finished_shards(storage)
    done = [count_rows(storage, plan, shard) for shard in sorted(finished)]
    return Status(plan, done, [shard for shard in range(plan.shards) if shard not in finished])
