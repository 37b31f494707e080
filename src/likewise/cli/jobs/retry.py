"""`likewise jobs retry`: segment again the images that failed."""

from likewise.cli.jobs.options import Job, WorkOptions, run


def retry(out: Job, *, workers: WorkOptions) -> None:
    """Segment again the images that failed.

    [dim]likewise jobs retry s3://bucket/masks[/dim]
    """
    run(out, workers, again=True)
