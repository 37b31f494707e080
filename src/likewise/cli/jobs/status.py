"""`likewise jobs status`: how far a job is."""

from likewise.cli.console import print_line
from likewise.cli.jobs.options import Job
from likewise.errors import counted, first_of


def status(out: Job) -> None:
    """Say how many shards are done, and how many images failed.

    [dim]likewise jobs status s3://bucket/masks[/dim]
    """
    from likewise.jobs.shards.executors import read_status

    found = read_status(out)
    done, shards = len(found.done), counted(found.plan.shards, "shard")
    print_line(f"{out}: {done} of {shards} done, {counted(found.images, 'image')}")
    if found.pending:
        print_line(f"not done: shards {first_of(found.pending)}")
    if found.failed:
        failed = f"{counted(found.errors, 'image')}, in shards {first_of(found.failed)}"
        print_line(f"failed: {failed}; likewise jobs retry {out}")
