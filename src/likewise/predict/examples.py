"""Examples: images that show what to look for, and the command-line arguments that name them.

arguments -> find_examples -> Example (an image with a mask, a box or scribbles) -> mark -> foreground, background
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, ExampleError, check_known, warn, warnings_about
from likewise.io.class_lists import PASCAL, find_palette, read_palette, voc_palette
from likewise.io.images import Source, read_image, save_image
from likewise.io.labels import IGNORE
from likewise.io.masks import Label, MaskSource, box_mask, parse_box, parse_label, read_mask, read_scribbles
from likewise.io.paths import (
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
from likewise.predict.result import EqualByValue, png
from likewise.viz.draw import overlay

DEFAULT_CLASS = "object"
"""The class of an example that names none."""

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test"})
"""Names of folders that are parts of a data set, in lower case; they name no class."""

INVERTED = 0.5
"""Fraction of the image from which a mask that covers all four corners is reported as probably inverted."""

NAMED = 8
"""Images that a warning lists."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False, repr=False)
class Example(EqualByValue):
    """One image and where its object is: exactly one of a mask, a box or scribbles.

    Attributes:
        image: a path, a Pillow image, an array, or anything else that `likewise.io.images.read_image` takes.
        mask: where the object is, as `likewise.io.masks.read_mask` takes it; of the image's size.
        box: `(x0, y0, x1, y1)` in pixels, the last two exclusive, or several such boxes; every pixel inside counts as
            object.
        scribbles: strokes as `likewise.io.masks.read_scribbles` takes them; pixels without a stroke are unknown.
        ignore: a mask of pixels that are unknown, neither object nor background, whatever else marks them.
        class_name: the name of the object's class; examples with the same name are shots of one class.
        label: the value or colour of the object in a mask of several classes; "nonzero" for all but 0.
        invert: the mask is true where the object is not.
    """

    image: Source
    mask: MaskSource | None = None
    box: Box | Sequence[Box] | None = None
    scribbles: Source | None = None
    ignore: MaskSource | None = None
    class_name: str = DEFAULT_CLASS
    label: Label | None = None
    invert: bool = False

    def __repr__(self) -> str:
        given = [name for name in ("mask", "box", "scribbles", "ignore") if getattr(self, name) is not None]
        return f"Example({self.name!r}, {self.class_name!r}, {' and '.join(given) or 'unmarked'})"

    @property
    def name(self) -> str:
        """The image's path; "the example" if it has none."""
        return str(self.image) if isinstance(self.image, str | Path) else "the example"

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The image with the object tinted and outlined, and unknown pixels grey.

        Raises:
            ImageError, ExampleError: see `mark`.
        """
        image, foreground, background = mark(self)
        labels = np.where(foreground, 1, np.where(background, 0, IGNORE)).astype(np.uint8)
        return overlay(image, labels)

    def save(self, path: str | Path) -> None:
        """Write the image to `path` and its marks beside it, where the commands find them.

        For `cat.png` the marks are `cat.mask.png`; if pixels are unknown, `cat.scribbles.png` (0 unknown, 1 object,
        2 background) instead.

        Raises:
            ImageError, ExampleError: see `mark`.
        """
        path = Path(path)
        image, foreground, background = mark(self)
        save_image(image, path)
        if (foreground | background).all():
            save_image(foreground, path.with_name(f"{path.stem}.mask.png"))
        else:
            marks = foreground + 2 * background.astype(np.uint8)
            save_image(marks.astype(np.uint8), path.with_name(f"{path.stem}.scribbles.png"))

    def _repr_png_(self) -> bytes:
        return png(self.overlay())


def mark(
    example: Example,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """The example's image, its foreground and its background; a pixel in neither is unknown.

    Scribbles without a background stroke make all other pixels background. Warns if there is no background, or if a
    mask is probably inverted.

    Raises:
        ImageError: a file that cannot be read, or a mask of another size than the image.
        ExampleError: no object pixel, or an object that is not marked in exactly one way.
        ArgumentError: an impossible box.
    """
    given = [name for name in ("mask", "box", "scribbles") if getattr(example, name) is not None]
    if len(given) != 1:
        raise ExampleError(
            f"{example.name}: give exactly one of a mask, a box or scribbles; got {' and '.join(given) or 'none'}"
        )
    image = read_image(example.image)
    size = (image.shape[0], image.shape[1])
    background = None
    if example.scribbles is not None:
        foreground, background = read_scribbles(example.scribbles, size=size)
    elif example.box is not None:
        boxes = example.box if np.ndim(example.box) > 1 else [example.box]
        foreground = np.any([box_mask(box, size) for box in boxes], axis=0)  # type: ignore[arg-type]
    else:
        assert example.mask is not None
        foreground = read_mask(example.mask, label=example.label, size=size) ^ example.invert
    if background is None or not background.any():
        background = ~foreground
    if example.ignore is not None:
        known = ~read_mask(example.ignore, size=size)
        foreground, background = foreground & known, background & known
    if not foreground.any():
        raise ExampleError(f"{example.name}: the mask is empty; mark at least one pixel of the object")
    with warnings_about(example.name):
        if not background.any():
            warn(
                "the mask covers the whole image, so it shows no background; leave some background, or add an example "
                "that has some"
            )
        elif example.mask is not None and foreground[:: size[0] - 1, :: size[1] - 1].all():
            covered = foreground.mean()
            if covered > INVERTED:
                warn(
                    f"the mask covers {covered:.0%} of the image with all four corners; if it is inverted, pass "
                    f"--{'no-' * example.invert}invert (invert={not example.invert})"
                )
    return image, foreground, background


class Marks(TypedDict, total=False):
    """How texts mark the objects of examples.

    Attributes:
        boxes: ``x0,y0,x1,y1`` for each example image, in order, instead of masks. The boxes of one image, given several
            times or alone, are one example.
        scribbles: a file of strokes for each example image, in order, instead of masks.
        label: the object in every mask: a value, a colour, "nonzero" (`likewise.io.masks.parse_label`), or a name in
            `palette`.
        palette: a file of names and colours (`likewise.io.class_lists.read_palette`), or "voc"; None looks for one
            beside the mask.
        invert: the masks are true where the object is not.
        strict: an example of several that has no mask or object, or cannot be read, raises; otherwise it is left out
            with a warning.
    """

    boxes: Sequence[str]
    scribbles: Sequence[Path]
    label: str | Label | None
    palette: str | Path | None
    invert: bool
    strict: bool


def find_examples(texts: Sequence[str | Path], **marks: Unpack[Marks]) -> tuple[list[Example], list[Path]]:
    """The examples that the texts name, and the paths of the saved concepts among them.

    Each text is one of

    - ``image=mask``, or ``images=masks`` for two folders whose files have the same stems;
    - an image with a mask beside it or in a sibling folder (`likewise.io.paths.find_mask`);
    - an image and, as the next text, its mask of the same stem (``cat.jpg cat.png``);
    - a folder of images with masks: the folder's name is the class. Its subfolders are classes too;
    - a saved concept, ``x.concept``.

    Outside folders the class is "object".

    Raises:
        ExampleError: a file that does not exist, an image without a mask, or no example at all.
        ArgumentError: boxes or scribbles that are not one for each image, or both at once.
    """
    boxes, scribbles = marks.get("boxes", ()), marks.get("scribbles", ())
    names = [os.path.expanduser(text) for text in texts]  # noqa: PTH111, Path.expanduser fails without a home
    concepts = [Path(name) for name in names if Path(name).suffix == ".concept"]
    others = [name for name in names if Path(name).suffix != ".concept"]
    if boxes and scribbles:
        raise ArgumentError("boxes and scribbles were both given; give one of them")
    instead, drawn = ("boxes", len(boxes)) if boxes else ("scribbles", len(scribbles))
    examples = _Finder(masks_required=not drawn, strict=marks.get("strict", False)).examples(others)
    if boxes and len({str(example.image) for example in examples}) == 1:
        examples = examples[:1] * len(boxes)
    if drawn and drawn != len(examples):
        raise ArgumentError(f"example images: {len(examples)}, {instead}: {drawn}; give one for each image, in order")
    if boxes:
        by_image: dict[str, list[Box]] = {}
        for example, box in zip(examples, boxes, strict=True):
            by_image.setdefault(str(example.image), []).append(parse_box(box))
        examples = list({str(example.image): example for example in examples}.values())
        own = [by_image[str(example.image)] for example in examples]
        examples = [
            replace(example, mask=None, box=found[0] if len(found) == 1 else found)
            for example, found in zip(examples, own, strict=True)
        ]
    elif scribbles:
        examples = [
            replace(example, mask=None, scribbles=strokes) for example, strokes in zip(examples, scribbles, strict=True)
        ]
    else:
        unique = {(example.image, example.mask, example.class_name): example for example in examples}
        chosen = partial(_chosen_label, marks.get("label"), marks.get("palette"))
        invert = marks.get("invert", False)
        examples = [replace(example, label=chosen(example), invert=invert) for example in unique.values()]
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
                elif path not in beside:
                    mask = self.mask_of(path)
                    if mask is None and self.masks_required:
                        raise ExampleError(_no_mask(path))
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
        if image.is_file():
            return [Example(image, mask=mask)]
        images = [entry for entry in visible_entries(image) if entry.suffix.lower() in IMAGE_SUFFIXES]
        found = [Example(one, mask=self.named_mask(mask, one.stem)) for one in images]
        return self.with_masks(f"{image}={mask}", found)

    def named_mask(self, folder: Path, stem: str) -> Path | None:
        named = [file for ending in ("", *MASK_ENDINGS) for file in self.listings.named(folder, f"{stem}{ending}")]
        return next((file for file in named if file.suffix.lower() in {*MASK_SUFFIXES, *IMAGE_SUFFIXES}), None)

    def of_folder(self, top: Path) -> list[Example]:
        """The folder's own pairs, then those of its subfolders, each under the name of its folder."""
        found: list[Example] = []

        def add(folder: Path, above: frozenset[Path]) -> None:
            entries = visible_entries(folder)
            files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
            images = [file for file in files if not is_output(file, top, self.listings)]
            masks = {image: self.mask_of(image) for image in images}
            name = _class_of(folder)
            found.extend(
                Example(image, mask=mask, class_name=name)
                for image, mask in masks.items()
                if image not in masks.values()
            )
            above |= {folder.resolve()}
            for entry in entries:
                if entry.is_dir() and entry.resolve() not in above:  # a link back up
                    add(entry, above)

        add(top, frozenset())
        return self.with_masks(str(top), found)

    def with_masks(self, source: str, examples: list[Example]) -> list[Example]:
        """Those of the examples that have a mask, if masks are required; warns of the others."""
        if not examples:
            raise ExampleError(f"{source}: no image in this folder; put images and their masks there")
        without = [Path(example.name) for example in examples if example.mask is None]
        if not self.masks_required or not without:
            return examples
        if self.strict or len(without) == len(examples):
            raise ExampleError(_no_mask(without[0]))
        names = ", ".join(path.name for path in without[:NAMED]) + ", ..." * (len(without) > NAMED)
        warn(f"{source}: {len(without)} of {len(examples)} images left out, since they have no mask: {names}")
        return [example for example in examples if example.mask is not None]


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
