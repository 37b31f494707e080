"""`likewise jobs plan`: list images into shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line
from likewise.errors import counted
from likewise.weights import DEFAULT_MODEL


@dataclass(frozen=True)
class PlanOptions(options.SegmenterOptions):
    """How a few-shot model segments; workers choose its engine."""

    engine: str = field(default="auto", init=False)


def plan(
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A folder or glob, also s3://bucket/photos; or a .txt or .parquet list."),
    ],
    like: options.Like,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for the plan and the results; any storage.")],
    *,
    size: Annotated[int, typer.Option("--size", min=1, help="Number of images in a shard.")] = 1000,
    masks: Annotated[bool, typer.Option("--masks", help="Also write a tar of mask PNGs for each shard.")] = False,
    unlike: options.Unlike = None,
    model: options.Model = DEFAULT_MODEL,
    network: PlanOptions,
    presence: options.PresenceOptions,
) -> None:
    """List the images and divide them into shards.

    [dim]likewise jobs plan s3://bucket/photos --like cat.concept -o s3://bucket/masks[/dim]
    """
    from likewise.jobs.learn import learn_concept
    from likewise.jobs.shards.plan import plan_job

    few_shot = options.open_few_shot(model, network, presence)
    concept = learn_concept(few_shot, like, unlike=unlike or ())
    made = plan_job(images, concept, out, few_shot=few_shot, size=size, masks=masks)
    print_line(
        f"{out}: {counted(made.images, 'image')} in {counted(made.shards, 'shard')}; next: likewise jobs work {out}"
    )
