"""Segment a folder of images by examples: `segment_folder`, and `learn_concept` for the examples alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from jaxtyping import UInt8

from likewise.errors import ArgumentError
from likewise.io.images import TIFF_SUFFIXES, save_image
from likewise.io.raster import TiffPage
from likewise.jobs.outputs import STREAM, Images, list_images, refuse_overwriting
from likewise.jobs.pipeline import Progress, Report, process_images
from likewise.predict.examples import Example
from likewise.predict.find_examples import Marks, find_examples
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
        unlike: Negatives: see `find_negatives`.
        formats: Names of `likewise.jobs.writers.FORMATS`.
        instances: Separate objects that touch: files have an object for each of `Result.instances`.
        pages: Of TIFF files: see `list_images`.
        channels: Of TIFF files and of examples: see `list_images`.
        one_scale: Of TIFF files: see `list_images`.
        window: Side in pixels of the windows of large TIFF files (`likewise.jobs.mosaic`); by default that of the
            examples' images, so that objects keep their size in pixels.
        fit_presence: Fit the presence from which on a class counts to these images (`Segmenter.fit_presence`), which
            looks at each of them once more. If other images of a later run change it, all are processed again.
        force: Process finished images again, also with other settings than before.
        progress: Called with the number of processed images and their total.
        marks: Boxes, scribbles or labels of the examples.

    Raises:
        ExampleError: An example is missing, empty or ambiguous.
        ConceptError: A concept belongs to another model.
    """
    from likewise.jobs.mosaic import Mosaics, window_of
    from likewise.predict.edges import LARGEST

    examples, concepts = collect_examples(like, **marks)
    negatives = find_negatives(unlike)
    given = [*examples, *negatives]
    masks = [path for example in given for path in (example.mask, example.scribbles) if isinstance(path, str | Path)]
    inputs = [*masks, *(example.image for example in given), *concepts]
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
    segmenter = few_shot.prepare(concept)
    mosaics = Mosaics(segmenter, window or window_of(examples))
    if fit_presence:
        if out == STREAM or any(str(file.path) == STREAM for file in found):
            raise ArgumentError("presence is fitted to a folder of images; standard input and output take one image")
        segmenter = segmenter.fit_presence(file.source for file in found if not mosaics.takes(file))
        mosaics = replace(mosaics, segmenter=segmenter)
        settings["fitted presence"] = list(segmenter.presence)
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
        refresh={"fitted presence"} if fit_presence else (),
        protect=[path for path in inputs if isinstance(path, str | Path)],
        progress=progress,
    )
    if fit_presence:
        report.fitted = dict(zip(concept.classes, segmenter.presence, strict=True))
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


def learn_concept(
    few_shot: FewShot,
    like: str | Path | Example | Concept | Iterable[str | Path | Example | Concept],
    *,
    unlike: Iterable[str | Path] = (),
    class_name: str | None = None,
    **marks: Unpack[Marks],
) -> Concept:
    """Return one concept of all examples and concepts in `like`; arguments and errors as for `segment_folder`.

    Args:
        class_name: The class of all examples, whatever their folders are called; concepts keep their classes.
    """
    examples, concepts = collect_examples(like, **marks)
    if class_name is not None:
        examples = [replace(example, class_name=class_name) for example in examples]
    return merge_concepts(few_shot, examples, concepts, find_negatives(unlike), strict=marks.get("strict", False))


def collect_examples(
    like: str | Path | Example | Concept | Iterable[str | Path | Example | Concept],
    **marks: Unpack[Marks],
) -> tuple[list[Example], list[Path | Concept]]:
    """Return the examples and the concepts (or their files) in `like`; texts are read by `find_examples`."""
    given = list(like) if isinstance(like, Iterable) and not isinstance(like, str) else [like]
    texts = [one for one in given if isinstance(one, str | Path)]
    examples = [one for one in given if isinstance(one, Example)]
    concepts: list[Path | Concept] = [one for one in given if not isinstance(one, str | Path | Example)]
    if texts or not given:
        found, files = find_examples(texts, **marks)
        return [*examples, *found], [*concepts, *files]
    return examples, concepts


def find_negatives(texts: Iterable[str | Path]) -> list[Example]:
    """Return the negatives that the texts name.

    Each text is ``image=mask``, where the mask marks what is not the object, or an image, a folder or a glob of images
    without the object.
    """
    pairs: list[str | Path] = []
    images: list[str | Path] = []
    for text in [texts] if isinstance(texts, str | Path) else texts:
        (pairs if "=" in str(text) and not Path(text).exists() else images).append(text)
    marked, _ = find_examples(pairs) if pairs else ([], [])
    whole = [Example(image.path, absent=True) for image in list_images(images)] if images else []
    return [*(replace(example, absent=True) for example in marked), *whole]


def merge_concepts(
    few_shot: FewShot,
    examples: Sequence[Example],
    concepts: Sequence[Path | Concept],
    negatives: Sequence[Example] = (),
    *,
    strict: bool = True,
) -> Concept:
    """Return the given concepts merged with that of the examples.

    Old classes keep their numbers, and an example that is given twice counts once.

    Args:
        negatives: count for every class.
    """
    from likewise.predict.concept import Concept

    parts = [Concept.load(concept) if isinstance(concept, Path) else concept for concept in concepts]
    names = dict.fromkeys(name for part in parts for name in part.classes)
    names |= dict.fromkeys(example.class_name for example in examples)
    absent = [replace(negative, class_name=name) for name in names for negative in negatives]
    if learned := [*examples, *absent]:
        parts.append(few_shot.learn(learned, strict=strict))
    first, *others = parts
    merged = few_shot.fold(first.merged(*others).without_repeats())
    few_shot.check(merged)
    return merged
