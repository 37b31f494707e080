"""The outputs of all shards as one file in the formats of other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from likewise.errors import OutputError
from likewise.jobs.outputs import check_folder
from likewise.jobs.shards.plan import read_plan
from likewise.jobs.shards.storage import Storage
from likewise.jobs.shards.work import finished_shards, read_rows, regions_in
from likewise.jobs.writers import SUMMARIES, Regions, check_formats


def merge_shards(out: str, folder: str | Path, *, formats: Sequence[str] = ("coco",), partial: bool = False) -> int:
    """Write the results of a job to `folder`, and return the number of images; those that failed are left out.

    Args:
        out: address of the folder with the plan.
        formats: names of `likewise.jobs.writers.SUMMARIES`.
        partial: take the shards that are done.

    Raises:
        OutputError: shards that are not done without `partial`, or an output that is damaged or of another plan.
        ArgumentError: an unknown format.
    """
    formats = check_formats(formats, SUMMARIES)
    storage = Storage(out)
    plan = read_plan(storage)
    finished = finished_shards(storage)
    if not partial and (missing := plan.shards - len(finished)):
        raise OutputError(
            f"{out}: {missing} of {plan.shards} shards are not done; run `likewise jobs work {out}`, or pass --partial"
        )
    check_folder(Path(folder))
    count = 0

    def regions() -> Iterator[Regions]:
        nonlocal count
        count = 0
        for shard in sorted(finished):
            for found in regions_in(read_rows(storage, plan, shard), plan.classes):
                count += 1
                yield found

    for format in formats:
        name, write = SUMMARIES[format]
        write(regions(), plan.classes, Path(folder) / name, {})
    return count
