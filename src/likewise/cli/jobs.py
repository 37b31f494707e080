"""`likewise jobs`: large jobs in shards, over any storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from likewise.cli import options
from likewise.cli.commands import command
from likewise.cli.console import print_line, progress_bar
from likewise.errors import ArgumentError, counted, first_of
from likewise.weights import DEFAULT_MODEL, PRESENCE

if TYPE_CHECKING:
    from likewise.jobs.shards.executors import Report

app = typer.Typer(no_args_is_help=True, help="Large jobs: shards of images in any storage, in any number of workers.")
Job = Annotated[str, typer.Argument(metavar="OUT", help="The folder of the plan, also s3://bucket/folder.")]
Part = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Only every N-th shard from I (0 to N-1) on, for one of N workers."),
]
Engine = Annotated[
    str,
    typer.Option("--engine", help="here: this process; processes: several, each with a model of its own; ray: actors."),
]
Formats = options.format_option("coco", "coco, yolo, voc, labelme, cvat, label-studio, table, parquet, areas, scores")
Workers = Annotated[int, typer.Option("--workers", min=1, help="Number of processes or actors.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="A running Ray cluster; by default $RAY_ADDRESS, or a Ray of this machine for the time of the job.",
    ),
]

Decoders = Annotated[
    int | None,
    typer.Option(
        "--decoders",
        metavar="N",
        min=0,
        help="Ray tasks that read and decode images ahead of each actor, on any node. "
        "\\[4 with --device cuda, else 0: the actor does]",
    ),
]


@app.command("plan", cls=command())
def plan(
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A folder or glob, also s3://bucket/photos; or a .txt or .parquet list."),
    ],
    like: options.Like,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for the plan and the results; any storage.")],
    size: Annotated[int, typer.Option("--size", min=1, help="Images of a shard.")] = 1000,
    masks: Annotated[bool, typer.Option("--masks", help="Also write a tar of mask PNGs for each shard.")] = False,
    unlike: options.Unlike = None,
    model: options.Model = DEFAULT_MODEL,
    backbone: options.BackboneName = "lite0",
    weights: options.Weights = None,
    side: options.Side = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    quality: options.Quality = None,
    edges: options.Edges = True,
    presence: options.Presence = PRESENCE,
    always: options.Always = False,
    world: options.World = None,
) -> None:
    """List images into shards, once.

    [dim]likewise jobs plan s3://bucket/photos --like cat.concept -o s3://bucket/masks[/dim]
    """
    from likewise.jobs.learn import learn_concept
    from likewise.jobs.shards.plan import plan_job

    judging = {"presence": 0.0 if always else presence, "world": world}
    looks = {"quality": quality, "edges": edges}
    few_shot = options.open_few_shot(model, backbone, weights, side, device, precision, **looks, **judging)
    concept = learn_concept(few_shot, like, unlike=unlike or ())
    made = plan_job(images, concept, out, few_shot=few_shot, size=size, masks=masks)
    print_line(
        f"{out}: {counted(made.images, 'image')} in {counted(made.shards, 'shard')}; next: likewise jobs work {out}"
    )


@app.command("work", cls=command(resumes=True))
def work(
    out: Job,
    engine: Engine = "here",
    workers: Workers = 2,
    address: Address = None,
    decoders: Decoders = None,
    shard: Part = None,
    device: options.Device = "auto",
    memory: options.Memory = None,
) -> None:
    """Work on the shards that are not done.

    [dim]likewise jobs work s3://bucket/masks --shard $SLURM_ARRAY_TASK_ID/64[/dim]
    """
    _run(out, engine, workers, address, decoders, shard, device, memory)


@app.command("retry", cls=command(resumes=True))
def retry(
    out: Job,
    engine: Engine = "here",
    workers: Workers = 2,
    address: Address = None,
    decoders: Decoders = None,
    shard: Part = None,
    device: options.Device = "auto",
    memory: options.Memory = None,
) -> None:
    """Segment the images that failed once more.

    [dim]likewise jobs retry s3://bucket/masks[/dim]
    """
    _run(out, engine, workers, address, decoders, shard, device, memory, again=True)


@app.command("status", cls=command())
def status(out: Job) -> None:
    """Say how many shards are done, and how many images failed.

    [dim]likewise jobs status s3://bucket/masks[/dim]
    """
    from likewise.jobs.shards.executors import read_status

    found = read_status(out)
    images, errors = sum(each.images for each in found.done), sum(each.errors for each in found.done)
    print_line(f"{out}: {len(found.done)} of {counted(found.plan.shards, 'shard')} done, {counted(images, 'image')}")
    if found.pending:
        print_line(f"not done: shards {first_of(found.pending)}")
    if errors:
        shards = [each.shard for each in found.done if each.errors]
        print_line(f"failed: {counted(errors, 'image')}, in shards {first_of(shards)}; likewise jobs retry {out}")


@app.command("merge", cls=command())
def merge(
    job: Job,
    out: options.Out,
    format: Formats = None,
    partial: Annotated[bool, typer.Option("--partial", help="Take the shards that are done.")] = False,
) -> None:
    """Write the results of all shards in the formats of other tools.

    [dim]likewise jobs merge s3://bucket/masks -o merged/ --format coco[/dim]
    """
    from likewise.jobs.shards.merge import merge_shards

    print_line(f"{out}: {counted(merge_shards(job, out, formats=format or ['coco'], partial=partial), 'image')}")


def _run(
    out: str,
    engine: str,
    workers: int,
    address: str | None,
    decoders: int | None,
    shard: str | None,
    device: str,
    memory: str | None,
    **again: Any,
) -> None:
    from likewise.jobs.shards.executors import run_shards

    with progress_bar("shards") as progress:
        report = run_shards(
            out,
            engine=engine,
            workers=workers,
            address=address,
            decoders=decoders,
            part=_part(shard),
            device=device,
            memory=memory,
            progress=progress,
            **again,
        )
    _print(out, report)


def _part(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 1
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ArgumentError(f"--shard {text}: write I/N, such as 3/64")
    return int(index), int(count)


def _print(out: str, report: Report) -> None:
    failed = f", {counted(report.errors, 'image')} failed" if report.errors else ""
    earlier = f"; done earlier: {report.skipped}" if report.skipped else ""
    print_line(f"{out}: {counted(report.done, 'shard')} done, {counted(report.images, 'image')}{failed}{earlier}")
