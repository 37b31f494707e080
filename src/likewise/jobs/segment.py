"""Segment a folder of images by examples: `segment_folder`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from jaxtyping import UInt8

from likewise.errors import ArgumentError, ExampleError
from likewise.io.images import TIFF_SUFFIXES, save_image
from likewise.io.paths import real
from likewise.io.raster import TiffPage
from likewise.jobs.learn import collect_examples, find_negatives, merge_concepts
from likewise.jobs.outputs import STREAM, Images, list_images, refuse_overwriting
from likewise.jobs.pipeline import Progress, Report, process_images
from likewise.predict.examples import Example
from likewise.predict.find_examples import Marks
from likewise.viz.contact_sheet import Tile, contact_sheet

MADE = "examples.jpg"
"""The file in the output folder that shows the masks made of boxes and points."""
MOST_DRAWN = 12
"""Examples on it."""

if TYPE_CHECKING:
    from likewise.predict.concept import Concept
    from likewise.predict.few_shot import FewShot


def segment_folder(
    images: Images,
    like: str | Path | Example | Concept | Iterable[str | Path | Example | Concept],
    out: str | Path,
    *,
    few_shot: FewShot,
    unlike: Iterable[str | Path] = (),
    formats: Sequence[str] = ("mask",),
    instances: bool = False,
    pages: str = "first",
    channels: tuple[int, ...] = (),
    one_scale: bool = False,
    window: int | None = None,
    fit_presence: bool = False,
    force: bool = False,
    follow_links: bool = False,
    memory: str | int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    **marks: Unpack[Marks],
) -> Report:
    """Find in all images what the examples show, and write the results to `out`; interrupted runs resume.

        segment_folder("photos/", "cat.jpg=cat.png", "masks/", few_shot=FewShot())

    Args:
        images: Paths, folders and globs. Masks and scribbles of the examples are skipped.
        like: Examples, concepts, or texts that `likewise.predict.examples.find_examples` reads. Several are merged.
        unlike: Negatives: see `likewise.jobs.learn.find_negatives`.
        formats: Names of `likewise.jobs.writers.FORMATS`.
        instances: Separate objects that touch: files have an object for each of `Result.instances`.
        pages: Of TIFF files: see `list_images`.
        channels: Of TIFF files and of examples: see `list_images`.
        one_scale: Of TIFF files: see `list_images`.
        window: Side in pixels of the windows of large TIFF files (`likewise.jobs.mosaic`); by default that of the
            examples' images, so that objects keep their size in pixels.
        fit_presence: Judge presence as suits these images (`Segmenter.fit_presence`), which looks at each of them once
            more. If other images of a later run change that, all are processed again.
        force: Process finished images again, also with other settings than before.
        progress: Called with the number of processed images and their total.
        marks: Boxes, scribbles or labels of the examples.

    Raises:
        ExampleError: An example is missing, empty or ambiguous, or the mask of a negative lies in `out`.
        ConceptError: A concept belongs to another model.
    """
    from likewise.jobs.mosaic import Mosaics, window_of
    from likewise.predict.edges import LARGEST

    examples, concepts = collect_examples(like, **marks)
    negatives = find_negatives(unlike)
    given = [*examples, *negatives]
    masks = [path for example in given for path in (example.mask, example.scribbles) if isinstance(path, str | Path)]
    inputs = [*masks, *(example.image for example in given), *concepts]
    for one in negatives:
        if isinstance(one.mask, str | Path) and real(one.mask).is_relative_to(real(out)):
            raise ExampleError(
                f"{one.mask}: in the folder of the results, which this run writes again; give the image alone "
                f"(--unlike {one.name}), or copy the mask elsewhere"
            )
    if channels:
        examples, negatives = ([_with_channels(one, channels) for one in each] for each in (examples, negatives))
    found = list_images(
        images, exclude=[out, *masks], follow_links=follow_links, pages=pages, channels=channels, one_scale=one_scale
    )
    concept = merge_concepts(few_shot, examples, concepts, negatives, strict=marks.get("strict", False))
    settings = {**few_shot.settings, "edges": few_shot.edges, "concept": concept.digest()}
    settings |= {"instances": True} if instances else {}
    settings |= {"channels": list(channels)} if channels else {}
    settings |= {"one scale": [list(file.scale) for file in found if file.scale][:1]} if one_scale else {}
    settings |= {"window": window} if window else {}
    refresh: set[str] = set()
    denied = {real(one.image) for one in negatives if isinstance(one.image, str | Path)}
    if any(real(file.path) in denied for file in found):  # a result was judged wrong
        refresh.add("concept")
    segmenter = few_shot.prepare(concept)
    fitted: dict[str, float] = {}
    mosaics = Mosaics(segmenter, window or window_of(examples))
    if fit_presence:
        if out == STREAM or any(str(file.path) == STREAM for file in found):
            raise ArgumentError("presence is fitted to a folder of images; standard input and output take one image")
        usual, segmenter = segmenter, segmenter.fit_presence(file.source for file in found if not mosaics.takes(file))
        if segmenter.presence_settings != usual.presence_settings:
            fitted = dict(zip(concept.classes, segmenter.presence, strict=True))
        mosaics = replace(mosaics, segmenter=segmenter)
        settings |= segmenter.presence_settings
        refresh |= {*segmenter.presence_settings}
    made = [] if out == STREAM or dry_run else [example for example in examples if example.boxes or example.points]
    if made:
        refuse_overwriting([Path(out) / MADE], Path(out), [], force=force)
    report = process_images(
        found,
        lambda image, _: replace(segmenter(image), separate=instances),
        out,
        short=LARGEST,
        formats=formats,
        classes=concept.classes,
        settings=settings,
        force=force,
        memory=memory,
        dry_run=dry_run,
        windowed=mosaics,
        at_once=few_shot.at_once,
        refresh=refresh,
        protect=[path for path in inputs if isinstance(path, str | Path)],
        progress=progress,
    )
    report.fitted = fitted
    if made:
        save_image(draw_made(made), Path(out) / MADE)
    return report


def draw_made(examples: Sequence[Example]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a contact sheet of the masks that boxes and points made, at most `MOST_DRAWN`."""
    tiles = [Tile(example.overlay(), Path(example.name).name, example.class_name) for example in examples[:MOST_DRAWN]]
    rows = [tiles[start : start + 3] for start in range(0, len(tiles), 3)]
    return contact_sheet(rows, header="Masks of the examples", subtitle="made of boxes and points")


def _with_channels(example: Example, channels: tuple[int, ...]) -> Example:
    if isinstance(example.image, str | Path) and Path(example.image).suffix.lower() in TIFF_SUFFIXES:
        return replace(example, image=TiffPage(Path(example.image), channels=channels))
    return example
