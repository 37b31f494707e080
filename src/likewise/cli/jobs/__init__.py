"""`likewise jobs`: large jobs in shards, over any storage."""

import typer

from likewise.cli.commands import register
from likewise.cli.jobs.merge import merge
from likewise.cli.jobs.plan import plan
from likewise.cli.jobs.retry import retry
from likewise.cli.jobs.status import status
from likewise.cli.jobs.work import work

app = typer.Typer(no_args_is_help=True, help="Large jobs: shards of images in any storage, in any number of workers.")
register(app, plan)
register(app, work, resumes=True)
register(app, retry, resumes=True)
register(app, status)
register(app, merge)
