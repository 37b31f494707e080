"""Run a predictor over images: read ahead of it, write behind it, record what is finished, resume.

images -> read (threads) -> segment -> write (thread) -> records -> coco.json, areas.csv
"""

import contextlib
import errno
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from likewise.errors import LikewiseError, OutputError
from likewise.io.class_lists import LEGEND
from likewise.io.images import read_image
from likewise.io.paths import ImageFile
from likewise.io.prefetch import prefetch
from likewise.jobs.outputs import Job, check_folder, plan_jobs, refuse_overwriting, summary_files
from likewise.jobs.records import Records, Stamp, stamp_of
from likewise.jobs.writers import SUMMARIES, WRITERS, Result, check_formats, regions_of, write_legend

Progress = Callable[[int, int], None]
"""Called with the number of processed images and their total."""

FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR}
"""Write errors that end the run, since they would affect every later image too."""


@dataclass
class Report:
    """The outcome of a run.

    Attributes:
        done: Number of images processed.
        skipped: Number of images that an earlier run had finished.
        failed: Path and reason of each failed image.
        seconds: Duration.
    """

    done: int = 0
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


def process_images(
    images: Sequence[ImageFile],
    segment: Callable[[np.ndarray, ImageFile], Result],
    out: str | Path,
    *,
    formats: Sequence[str] = ("mask",),
    classes: tuple[str, ...],
    labels: Sequence[int] | None = None,
    settings: Mapping[str, Any],
    force: bool = False,
    protect: Iterable[str | Path] = (),
    progress: Progress | None = None,
) -> Report:
    """Segment each image and write its outputs to ``out/<name without suffix>.mask.png`` and so on.

    Interrupted runs resume: a second call skips images that are recorded as finished, unchanged, and whose outputs
    exist. Files for all images (``coco.json``, ``areas.csv``) are written last and cover every finished image of `out`,
    also those of earlier runs; ``legend.csv`` names the labels of label images.
    A few images are in memory at a time.

    Args:
        segment: Returns the result for the pixels of an image and its file.
        formats: Names of `likewise.jobs.writers.FORMATS`.
        classes: Class names in the order of the labels.
        labels: The label of each class in label images of scenes; None: 0 is background, classes are 1, 2, ...
        settings: Everything else that determines the results, as JSON can hold it.
        force: Process finished images again, also with other settings, and overwrite existing files.
        protect: Further input files, such as masks of examples, that no output may overwrite.
        progress: Called after each image, and once at the start with the number of skipped images.

    Returns:
        The report. An image that cannot be read or segmented is listed there, and the run continues.

    Raises:
        ArgumentError: An unknown format, or two images of one name.
        OutputError: `out` holds results of other settings, an output would overwrite a foreign file (images and
            `protect` even with `force`), or the disk is full or read-only. Finished images are kept.
    """
    start = time.perf_counter()
    formats, out = check_formats(formats), Path(out)
    check_folder(out)
    jobs, summaries = plan_jobs(images, out, formats), summary_files(out, formats)
    legend = [out / LEGEND] if {"mask", "labels"} & {*formats} and (labels is not None or len(classes) > 1) else []
    targets = [*(path for job in jobs for path in job.outputs.values()), *summaries.values(), *legend]
    refuse_overwriting(targets, out, [*(image.path for image in images), *map(Path, protect)], force=force)
    with _writing_to(out):
        records = Records(out, {**settings, "classes": list(classes)}, force=force)
    pending = [job for job in jobs if not records.is_finished(job.image.name, job.image.path, job.outputs.values())]
    report = Report(skipped=len(jobs) - len(pending))
    failed = set()
    if progress:
        progress(report.skipped, len(jobs))
    with contextlib.closing(_outcomes(pending, segment, out, records)) as outcomes:
        for job, reason in outcomes:
            if reason is None:
                report.done += 1
            else:
                report.failed.append((job.image.path, reason))
                failed.add(job.image.name)
            if progress:
                progress(report.skipped + report.done + len(report.failed), len(jobs))
    for format, path in summaries.items():
        with _writing_to(out):
            SUMMARIES[format][1](records.regions(without=failed), classes, path)
    for path in legend:
        write_legend(classes, labels, path)
    report.seconds = time.perf_counter() - start
    return report


def _outcomes(
    jobs: Iterable[Job], segment: Callable[[np.ndarray, ImageFile], Result], out: Path, records: Records
) -> Generator[tuple[Job, str | None], None, None]:
    """Yield each job when it is finished, with the reason if it failed."""
    with ThreadPoolExecutor(1) as writer, contextlib.closing(prefetch(jobs, _read)) as readings:
        writing: tuple[Job, Future[None]] | None = None
        for job, reading in readings:
            try:
                stamp, pixels = reading.result()
                result = segment(pixels, job.image)
            except Exception as error:  # any failure concerns this image only
                yield job, _reason(job, error)
                continue
            if writing:
                yield _written(*writing, out)
            writing = job, writer.submit(_write, job, stamp, pixels, result, records)
        if writing:
            yield _written(*writing, out)


def _read(job: Job) -> tuple[Stamp, np.ndarray]:
    stamp = stamp_of(job.image.path)  # before reading, so that the next run detects a change in between
    pixels = read_image(job.image.path)
    assert stamp is not None
    return stamp, pixels


def _write(job: Job, stamp: Stamp, pixels: np.ndarray, result: Result, records: Records) -> None:
    for format, path in job.outputs.items():
        WRITERS[format][1](pixels, result, path)
    records.add(stamp, regions_of(job.image.name, result))


def _written(job: Job, writing: Future[None], out: Path) -> tuple[Job, str | None]:
    """Wait for the writer; raise `OutputError` if no later image can be written either."""
    try:
        writing.result()
    except Exception as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if isinstance(cause, OSError) and cause.errno in FATAL:
            raise _disk_error(out, cause) from error
        return job, f"its result cannot be written: {_reason(job, error)}"
    return job, None


def _reason(job: Job, error: Exception) -> str:
    """Return the message of an error without the path of the image, which the report has."""
    message = str(error).removeprefix(f"{job.image.path}: ")
    return message if isinstance(error, LikewiseError) else f"{type(error).__name__}: {message}"


def _disk_error(out: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{error.filename or out}: cannot be written ({error.strerror or error}); free disk space or check the "
        "permissions, then run again: finished images are kept"
    )


@contextlib.contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _disk_error(out, error) from error
