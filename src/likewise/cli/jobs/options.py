"""Options that the commands of `likewise jobs` share, and the run of `work` and `retry`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line, progress_bar
from likewise.errors import counted

Job = Annotated[str, typer.Argument(metavar="OUT", help="The folder of the plan, also s3://bucket/folder.")]
Shard = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Every N-th shard, starting at I (0 to N-1), for one of N workers."),
]
Engine = Annotated[
    str,
    typer.Option("--engine", help="here: this process; processes: several, each with a model of its own; ray: actors."),
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Number of processes or actors.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="A running Ray cluster. \\[$RAY_ADDRESS, or a Ray on this machine that ends with the job]",
    ),
]
Decoders = Annotated[
    int | None,
    typer.Option(
        "--decoders",
        metavar="N",
        min=0,
        help="Ray tasks that read and decode images ahead of each actor, on any node. "
        "\\[4 with --device cuda, else 0: the actor reads them]",
    ),
]


@dataclass(frozen=True)
class WorkOptions:
    """Where the shards are worked on."""

    engine: Engine = "here"
    workers: Workers = 2
    address: Address = None
    decoders: Decoders = None
    part: Shard = None
    device: options.Device = "auto"
    memory: options.Memory = None


def run(out: str, workers: WorkOptions, *, again: bool = False) -> None:
    """Work on the shards of a plan, and print the outcome; `again` is as for `run_shards`."""
    from likewise.jobs.shards.executors import run_shards
    from likewise.jobs.shards.plan import parse_part

    given = vars(workers) | {"part": parse_part(workers.part)}
    with progress_bar("shards") as progress:
        report = run_shards(out, again=again, progress=progress, **given)
    failed = f", {counted(report.errors, 'image')} failed" if report.errors else ""
    earlier = f"; done earlier: {report.skipped}" if report.skipped else ""
    print_line(f"{out}: {counted(report.done, 'shard')} done, {counted(report.images, 'image')}{failed}{earlier}")
