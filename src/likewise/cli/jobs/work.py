"""`likewise jobs work`: segment the images of the shards that are not done."""

from likewise.cli.jobs.options import Job, WorkOptions, run


def work(out: Job, *, workers: WorkOptions) -> None:
    """Work on the shards that are not done.

    [dim]likewise jobs work s3://bucket/masks --shard $SLURM_ARRAY_TASK_ID/64[/dim]
    """
    run(out, workers)
