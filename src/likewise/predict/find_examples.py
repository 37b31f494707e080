"""The command-line arguments that name examples.

arguments -> find_examples -> examples and concepts
"""

from __future__ import annotations

import os
import re
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

from likewise.errors import ArgumentError, DataSetError, ExampleError, check_known, first_of, warn
from likewise.io.annotations import ObjectMask, annotation_of, find_format, read_image_annotation
from likewise.io.class_lists import PASCAL, find_palette, read_palette, voc_palette
from likewise.io.marks import parse_box, parse_points
from likewise.io.masks import Label, parse_label
from likewise.io.paths import (
    ANNOTATION_SUFFIXES,
    IMAGE_FOLDERS,
    IMAGE_SUFFIXES,
    MASK_ENDINGS,
    MASK_FOLDERS,
    MASK_SUFFIXES,
    Listings,
    find_mask,
    is_output,
    pairing_key,
    visible_entries,
)
from likewise.predict.dataset import as_dataset, read_annotations
from likewise.predict.examples import Example

ANNOTATIONS = frozenset({*ANNOTATION_SUFFIXES, ".yaml", ".yml"})
"""Suffixes of annotation files, in lower case."""

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test"})
"""Names of folders that are parts of a data set, in lower case; they name no class."""

NAMED = 8
"""Images that a warning lists."""


class Marks(TypedDict, total=False):
    """How texts mark the objects of examples.

    Attributes:
        boxes: ``x0,y0,x1,y1`` for each example image, in order, instead of masks. The boxes of one image, given several
            times or alone, are one example. If there are fewer boxes than images, they belong to those without a mask.
        box_only: see `Example.box_only`.
        points: ``x,y,+`` (on the object) and ``x,y,-``, several with spaces between, for each example image, in order,
            instead of masks; or any number of them for one image.
        scribbles: a file of strokes for each example image, in order, instead of masks.
        label: the object in every mask: a value, a colour, "nonzero" (`likewise.io.masks.parse_label`), or a name in
            `palette`.
        palette: a file of names and colours (`likewise.io.class_lists.read_palette`), or "voc"; None looks for one
            beside the mask.
        classes: names of the classes to take; all if empty.
        invert: the masks are true where the object is not.
        strict: an example of several that has no mask or object, or cannot be read, raises; otherwise it is left out
            with a warning.
    """

    boxes: Sequence[str]
    box_only: bool
    points: Sequence[str]
    scribbles: Sequence[Path]
    label: str | Label | None
    palette: str | Path | None
    classes: Sequence[str]
    invert: bool
    strict: bool


def find_examples(texts: Sequence[str | Path], **marks: Unpack[Marks]) -> tuple[list[Example], list[Path]]:
    """The examples that the texts name, and the paths of the saved concepts among them.

    Each text is one of

    - ``image=mask``, or ``images=masks`` for two folders whose files have the same stems;
    - an image with a mask beside it or in a sibling folder (`likewise.io.paths.find_mask`);
    - an image and, as the next text, its mask of the same stem (``cat.jpg cat.png``);
    - a folder of images with masks: the folder's name is the class. Its subfolders are classes too;
    - a file or folder of annotations, or an image with its annotation file as mask or beside it
      (`likewise.io.annotations.read_annotations`); the classes are theirs;
    - a saved concept, ``x.concept`` or ``hf://owner/name/x.concept``.

    Outside folders the class is "object".

    Raises:
        ExampleError: a file that does not exist, an image without a mask, or no example at all.
        ArgumentError: boxes, points or scribbles that are not one for each image, or several of them at once.
    """
    boxes, points, scribbles = marks.get("boxes", ()), marks.get("points", ()), marks.get("scribbles", ())
    if not all(str(text).strip() for text in texts):
        raise ExampleError("an example is an empty text; give image=mask, an image or a folder")
    names = [os.path.expanduser(text) for text in texts]  # noqa: PTH111, Path.expanduser fails without a home
    concepts = [Path(name) for name in names if Path(name).suffix == ".concept"]
    others = [name for name in names if Path(name).suffix != ".concept"]
    kinds = {"boxes": len(boxes), "points": len(points), "scribbles": len(scribbles)}
    given = [kind for kind, count in kinds.items() if count]
    if len(given) > 1:
        raise ArgumentError(f"{' and '.join(given)} were both given; give one of them")
    drawn = kinds[given[0]] if given else 0
    examples = _Finder(masks_required=not drawn, strict=marks.get("strict", False)).examples(others)
    if (boxes or points) and len({str(example.image) for example in examples}) == 1:
        examples = examples[:1] * drawn
    masked: list[Example] = []
    if drawn and drawn == sum(example.mask is None for example in examples):
        masked = [example for example in examples if example.mask is not None]
        examples = [example for example in examples if example.mask is None]
    if drawn and drawn != len(examples):
        raise ArgumentError(f"example images: {len(examples)}, {given[0]}: {drawn}; give one for each image, in order")
    if boxes or points:
        by_image: dict[str, list[str]] = {}
        for example, text in zip(examples, boxes or points, strict=True):
            by_image.setdefault(str(example.image), []).append(text)
        examples = list({str(example.image): example for example in examples}.values())
        examples = [_marked(example, by_image[str(example.image)], marks) for example in examples]
    elif scribbles:
        examples = [
            replace(example, mask=None, scribbles=strokes) for example, strokes in zip(examples, scribbles, strict=True)
        ]
    if masked or not drawn:
        unique = {(each.image, each.mask, each.class_name): each for each in (masked or examples)}
        chosen = partial(_chosen_label, marks.get("label"), marks.get("palette"))
        invert = marks.get("invert", False)
        examples = [
            example if isinstance(example.mask, ObjectMask) else replace(example, label=chosen(example), invert=invert)
            for example in unique.values()
        ] + (examples if masked else [])
    if chosen_classes := marks.get("classes"):
        if not examples:
            raise ExampleError(
                "classes are chosen of examples, not of a concept; `likewise concept remove` takes one out"
            )
        known = dict.fromkeys(example.class_name for example in examples)
        for name in chosen_classes:
            check_known(name, known, "class of the examples", ExampleError)
        examples = [example for example in examples if example.class_name in chosen_classes]
    if not examples and not concepts:
        raise ExampleError("no example given; give image=mask, or an image with a mask beside it")
    return examples, concepts


class _Finder:
    """Finds the examples that texts name; each folder is listed once."""

    def __init__(self, *, masks_required: bool, strict: bool) -> None:
        self.masks_required, self.strict, self.listings = masks_required, strict, Listings()

    def examples(self, texts: Iterable[str]) -> list[Example]:
        rest = deque(texts)
        # a shell expands photos/* to images and masks in any order
        beside = {self.mask_of(Path(text)) for text in rest if Path(text).is_file()}
        examples: list[Example] = []
        while rest:
            text = rest.popleft()
            path = Path(text)
            if path.is_dir():
                examples += self.of_folder(path)
            elif path.is_file():
                if rest and self.is_mask_of(Path(rest[0]), path):
                    examples.append(Example(path, mask=Path(rest.popleft())))
                elif path.suffix.lower() in ANNOTATIONS or _holds_ids(path):
                    examples += self.of_annotations(path)
                elif path not in beside:
                    mask = self.mask_of(path)
                    annotation = annotation_of(path, self.listings) if mask is None and self.masks_required else None
                    if annotation is not None:
                        found = list(as_dataset(read_image_annotation(annotation, path)))
                        if not found:
                            raise ExampleError(f"{annotation}: marks no object in {path.name}; give another image")
                        examples += found
                    elif mask is None and self.masks_required:
                        raise ExampleError(_no_mask(path))
                    else:
                        examples.append(Example(path, mask=mask))
            elif "=" in text:
                examples += self.of_pair(*_split_pair(text))
            else:
                raise ExampleError(f"{text}: no such file or folder; give image=mask, an image or a folder")
        return examples

    def mask_of(self, image: Path) -> Path | None:
        return find_mask(image, self.listings)

    def is_mask_of(self, mask: Path, image: Path) -> bool:
        stems = {pairing_key(f"{image.stem}{ending}") for ending in ("", *MASK_ENDINGS)}
        if mask.suffix.lower() not in MASK_SUFFIXES or pairing_key(mask.stem) not in stems:
            return False
        if not mask.is_file() or mask.samefile(image):
            return False
        # a/1.png b/1.png are two images if the second has a mask of its own
        return pairing_key(mask.stem) != pairing_key(image.stem) or self.mask_of(mask) is None

    def of_pair(self, image: Path, mask: Path) -> list[Example]:
        """The example of two files, or those of the files with the same stems in two folders."""
        if mask.suffix.lower() in ANNOTATIONS or _holds_ids(mask):
            return list(as_dataset(read_image_annotation(mask, image)))
        if image.is_file():
            return [Example(image, mask=mask)]
        images = [entry for entry in visible_entries(image) if entry.suffix.lower() in IMAGE_SUFFIXES]
        found = [Example(one, mask=self.named_mask(mask, one.stem)) for one in images]
        return self.with_masks(f"{image}={mask}", found)

    def named_mask(self, folder: Path, stem: str) -> Path | None:
        named = [file for ending in ("", *MASK_ENDINGS) for file in self.listings.named(folder, f"{stem}{ending}")]
        return next((file for file in named if file.suffix.lower() in {*MASK_SUFFIXES, *IMAGE_SUFFIXES}), None)

    def of_folder(self, top: Path) -> list[Example]:
        """The folder's own pairs, then those of its subfolders, each under the name of its folder.

        A folder of annotation files is read by `read_annotations`.
        """
        if self.masks_required and find_format(top) is not None:
            return self.of_annotations(top)
        found: list[Example] = []

        def add(folder: Path, above: frozenset[Path]) -> None:
            entries = visible_entries(folder)
            files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
            images = [file for file in files if not is_output(file, top, self.listings)]
            masks = {image: self.mask_of(image) for image in images}
            name = _class_of(folder)
            for image, mask in masks.items():
                annotation = annotation_of(image, self.listings) if mask is None and self.masks_required else None
                if annotation is not None and (examples := self.of_annotation(annotation, image)):
                    found.extend(examples)
                elif image not in masks.values():
                    found.append(Example(image, mask=mask, class_name=name))
            above |= {folder.resolve()}
            for entry in entries:
                if entry.is_dir() and entry.resolve() not in above:  # a link back up
                    add(entry, above)

        add(top, frozenset())
        return self.with_masks(str(top), found)

    def of_annotations(self, path: Path) -> list[Example]:
        """The examples in annotations, whose images are there."""
        with warnings.catch_warnings():
            if self.strict:
                warnings.simplefilter("error", UserWarning)
            try:
                dataset = read_annotations(path)
                examples = list(dataset)
            except UserWarning as left_out:
                raise ExampleError(str(left_out)) from None
        if not examples:
            absent = len(dataset.absent)
            raise ExampleError(
                f"{path}: no example; of {len(dataset)} images {absent} are absent, the others are empty"
            )
        return examples

    def of_annotation(self, path: Path, image: Path) -> list[Example]:
        """The examples in the file beside an image; none if it is of another kind, unless strict."""
        try:
            return list(as_dataset(read_image_annotation(path, image)))
        except DataSetError:
            if self.strict:
                raise
            return []

    def with_masks(self, source: str, examples: list[Example]) -> list[Example]:
        """Those of the examples that have a mask, if masks are required; warns of the others."""
        if not examples:
            raise ExampleError(f"{source}: no image in this folder; put images and their masks there")
        without = [Path(example.name) for example in examples if example.mask is None]
        if not self.masks_required or not without:
            return examples
        if self.strict or len(without) == len(examples):
            raise ExampleError(_no_mask(without[0]))
        names = first_of([path.name for path in without], NAMED)
        warn(f"{source}: {len(without)} of {len(examples)} images left out, since they have no mask: {names}")
        return [example for example in examples if example.mask is not None]


def _marked(example: Example, texts: Sequence[str], marks: Marks) -> Example:
    """The example with the boxes or the points of its image."""
    if marks.get("points"):
        return replace(example, mask=None, points=[point for text in texts for point in parse_points(text)])
    boxes = [parse_box(text) for text in texts]
    box = boxes[0] if len(boxes) == 1 else boxes
    return replace(example, mask=None, box=box, box_only=marks.get("box_only", False))


def _class_of(folder: Path) -> str:
    """The name of a folder as the user wrote it; set/images and set/images/train with masks in set/masks are "set"."""
    for place in (folder, *folder.parents):
        if place.name.lower() not in IMAGE_FOLDERS:
            continue
        if not {entry.name.lower() for entry in visible_entries(place.parent)}.isdisjoint(MASK_FOLDERS):
            inner = [name for name in folder.relative_to(place).parts if name.lower() not in SPLITS]
            if inner:
                return inner[-1]
            folder = place.absolute().parent
            while folder.name.lower() in SPLITS:
                folder = folder.parent
            break
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _holds_ids(path: Path) -> bool:
    """Whether a file is cellpose's x_seg.npy."""
    return path.name.lower().endswith("_seg.npy")


def _chosen_label(label: str | Label | None, palette: str | Path | None, example: Example) -> Label | None:
    """The value or colour of a label, which may be a name in a palette."""
    if not isinstance(label, str) or label == "nonzero" or label.startswith("#"):
        return parse_label(label) if isinstance(label, str) else label
    if palette == "voc":
        colours = dict(zip(("background", *PASCAL), voc_palette(), strict=False))
    else:
        found = find_palette(Path(str(example.mask)).parent) if palette is None else Path(palette)
        if found is None or not any(character.isalpha() for character in label):
            return parse_label(label)
        colours = {named.name: named.colour for named in read_palette(found)}
    check_known(label, colours, "label", ExampleError)
    return colours[label]


def _no_mask(image: Path) -> str:
    names = [f"{image.stem}.mask.png", f"{image.stem}_mask.png"]
    names += [f"{image.stem}.png"] * (image.suffix.lower() != ".png")
    looked_for = ", ".join(names)
    return f"{image}: no mask beside it; looked for {looked_for}. Give it as {image}=MASK, or draw a box or scribbles"


def _split_pair(text: str) -> tuple[Path, Path]:
    """The two files, or two folders, of ``image=mask``; the names themselves may contain ``=``."""
    # a shell expands a tilde at the start only
    splits = [(text[: at.start()], os.path.expanduser(text[at.end() :])) for at in re.finditer("=", text)]  # noqa: PTH111
    paths = [(Path(a), Path(b)) for a, b in splits if a and b]
    pairs = [(a, b) for a, b in paths if (a.is_file() and b.is_file()) or (a.is_dir() and b.is_dir())]
    if len(pairs) == 1:
        return pairs[0]
    if pairs:
        shown = " or ".join(f"{image} with mask {mask}" for image, mask in pairs)
        raise ExampleError(f"{text}: ambiguous, {shown}; rename the files or put the mask beside its image")
    missing = [side for side in splits[0] if not side or not Path(side).exists()] if len(splits) == 1 else []
    if not missing:
        raise ExampleError(f"{text}: no = in it separates two files, or two folders, that exist; check the names")
    shown = " and ".join(side or "(empty name)" for side in missing)
    raise ExampleError(f"{text}: read as image=mask, but these files do not exist: {shown}; check the names")
