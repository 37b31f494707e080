"""`likewise jobs merge`: the results of all shards in the formats of other tools."""

from typing import Annotated

import typer

from likewise.cli import options
from likewise.cli.console import print_line
from likewise.cli.jobs.options import Job
from likewise.errors import counted

Formats = options.format_option("coco", "coco, yolo, voc, labelme, cvat, label-studio, table, parquet, areas, scores")


def merge(
    job: Job,
    out: options.Out,
    format: Formats = None,
    partial: Annotated[bool, typer.Option("--partial", help="Merge only the shards that are done.")] = False,
) -> None:
    """Write the results of all shards in the formats of other tools.

    [dim]likewise jobs merge s3://bucket/masks -o merged/ --format coco[/dim]
    """
    from likewise.jobs.shards.merge import merge_shards

    print_line(f"{out}: {counted(merge_shards(job, out, formats=format or ['coco'], partial=partial), 'image')}")
