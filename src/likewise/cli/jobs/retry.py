"""`likewise jobs retry`: segment the images that failed once more."""

from likewise.cli.jobs.options import Job, WorkOptions, run


def retry(out: Job, *, workers: WorkOptions) -> None:
    """Segment the images that failed once more.

    [dim]likewise jobs retry s3://bucket/masks[/dim]
    """
    run(out, workers, again=True)
