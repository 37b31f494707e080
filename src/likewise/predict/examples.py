"""Examples: images that show what to look for, and the command-line arguments that name them.

arguments -> find_examples -> Example (an image with a mask, a box or scribbles) -> mark -> foreground, background
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, ExampleError, warn, warnings_about
from likewise.io.images import Source, read_image, save_image
from likewise.io.labels import IGNORE
from likewise.io.masks import box_mask, parse_box, read_mask, read_scribbles
from likewise.io.paths import (
    IMAGE_SUFFIXES,
    find_mask,
    is_output,
    mask_candidates,
    visible_entries,
)
from likewise.predict.result import EqualByValue, png
from likewise.viz.draw import overlay

DEFAULT_CLASS = "object"
"""The class of an example that names none."""


@dataclass(frozen=True, eq=False, repr=False)
class Example(EqualByValue):
    """One image and where its object is: exactly one of a mask, a box or scribbles.

    Attributes:
        image: a path, a Pillow image, an array, or anything else that `likewise.io.images.read_image` takes.
        mask: where the object is, as `likewise.io.masks.read_mask` takes it; of the image's size.
        box: `(x0, y0, x1, y1)` in pixels, the last two exclusive; every pixel inside counts as object.
        scribbles: strokes as `likewise.io.masks.read_scribbles` takes them; pixels without a stroke are unknown.
        ignore: a mask of pixels that are unknown, neither object nor background, whatever else marks them.
        class_name: the name of the object's class; examples with the same name are shots of one class.
        label: the value of the object in a mask of several classes.
    """

    image: Source
    mask: Source | None = None
    box: tuple[float, float, float, float] | None = None
    scribbles: Source | None = None
    ignore: Source | None = None
    class_name: str = DEFAULT_CLASS
    label: int | None = None

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

    Scribbles without a background stroke make all other pixels background. Warns if there is no background.

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
        foreground = box_mask(example.box, size)
    else:
        assert example.mask is not None
        foreground = read_mask(example.mask, label=example.label, size=size)
    if background is None or not background.any():
        background = ~foreground
    if example.ignore is not None:
        known = ~read_mask(example.ignore, size=size)
        foreground, background = foreground & known, background & known
    if not foreground.any():
        raise ExampleError(f"{example.name}: the mask is empty; mark at least one pixel of the object")
    if not background.any():
        with warnings_about(example.name):
            warn(
                "the mask covers the whole image, so it shows no background; leave some background, or add an example "
                "that has some"
            )
    return image, foreground, background


def find_examples(
    texts: Sequence[str | Path],
    *,
    boxes: Sequence[str] = (),
    scribbles: Sequence[Path] = (),
    label: int | None = None,
) -> tuple[list[Example], list[Path]]:
    """The examples that the texts name, and the paths of the saved concepts among them.

    Each text is one of

    - ``image=mask``;
    - an image with a mask beside it: x.mask.png, x_mask.png, or x.png if the image is not a PNG itself;
    - an image and, as the next text, its mask of the same stem (``cat.jpg cat.png``);
    - a folder of images with masks beside them: the folder's name is the class. Its subfolders are classes too;
    - a saved concept, ``x.concept``.

    Outside folders the class is "object". `boxes` (``x0,y0,x1,y1``) or `scribbles` take the place of masks: one for
    each image, in order. `label` is the object's value in every mask.

    Raises:
        ExampleError: a file that does not exist, an image without a mask, or no example at all.
        ArgumentError: boxes or scribbles that are not one for each image, or both at once.
    """
    concepts = [Path(text) for text in texts if Path(text).suffix == ".concept"]
    others = [str(text) for text in texts if Path(text).suffix != ".concept"]
    if boxes and scribbles:
        raise ArgumentError("boxes and scribbles were both given; give one of them")
    instead = "boxes" if boxes else "scribbles"
    marks: Sequence[str | Path] = boxes or scribbles
    examples = _read_texts(others, masks_required=not marks) if others else []
    if marks:
        if len(marks) != len(examples):
            raise ArgumentError(
                f"example images: {len(examples)}, {instead}: {len(marks)}; give one for each image, in order"
            )
        if boxes:
            examples = [
                replace(example, mask=None, box=parse_box(box)) for example, box in zip(examples, boxes, strict=True)
            ]
        else:
            examples = [
                replace(example, mask=None, scribbles=strokes)
                for example, strokes in zip(examples, scribbles, strict=True)
            ]
    elif label is not None:
        examples = [replace(example, label=label) for example in examples]
    if not examples and not concepts:
        raise ExampleError("no example given; give image=mask, or an image with a mask beside it")
    return examples, concepts


def _read_texts(texts: Sequence[str], *, masks_required: bool) -> list[Example]:
    rest = deque(texts)
    # a shell expands photos/* to images and masks in any order
    beside = {find_mask(Path(text)) for text in rest if Path(text).is_file()}
    examples: list[Example] = []
    while rest:
        text = rest.popleft()
        path = Path(text)
        if path.is_dir():
            found = _examples_of_folder(path, masks_required)
            if not found:
                raise ExampleError(f"{text}: no image in this folder; put images and their masks there")
            examples += found
        elif path.is_file():
            if rest and _is_mask_of(Path(rest[0]), path):
                examples.append(Example(path, mask=Path(rest.popleft())))
            elif path not in beside:
                examples.append(_example(path, DEFAULT_CLASS, masks_required))
        elif "=" in text:
            image, mask = _split_pair(text)
            examples.append(Example(image, mask=mask))
        else:
            raise ExampleError(f"{text}: no such file or folder; give image=mask, an image or a folder")
    return list({(example.image, example.mask, example.class_name): example for example in examples}.values())


def _split_pair(text: str) -> tuple[Path, Path]:
    """The two files of ``image=mask``; the names themselves may contain ``=``."""
    splits = [(text[: at.start()], text[at.end() :]) for at in re.finditer("=", text)]
    pairs = [(Path(a), Path(b)) for a, b in splits if Path(a).is_file() and Path(b).is_file()]
    if len(pairs) == 1:
        return pairs[0]
    if pairs:
        shown = " or ".join(f"{image} with mask {mask}" for image, mask in pairs)
        raise ExampleError(f"{text}: ambiguous, {shown}; rename the files or put the mask beside its image")
    missing = [side for side in splits[0] if not Path(side).is_file()] if len(splits) == 1 else []
    if not missing:
        raise ExampleError(f"{text}: no = in it separates two files that exist; check the names")
    shown = " and ".join(side or "(empty name)" for side in missing)
    raise ExampleError(f"{text}: read as image=mask, but these files do not exist: {shown}; check the names")


def _is_mask_of(mask: Path, image: Path) -> bool:
    stems = (image.stem, f"{image.stem}.mask", f"{image.stem}_mask")
    if mask.suffix.lower() != ".png" or mask.stem not in stems or not mask.is_file() or mask.samefile(image):
        return False
    # a/1.png b/1.png are two images if the second has a mask of its own
    return mask.stem != image.stem or find_mask(mask) is None


def _example(image: Path, class_name: str, masks_required: bool) -> Example:
    mask = find_mask(image)
    if mask is None and masks_required:
        looked_for = ", ".join(name.name for name in mask_candidates(image))
        raise ExampleError(
            f"{image}: no mask beside it; looked for {looked_for}. Give it as {image}=MASK, or draw a box or scribbles"
        )
    return Example(image, mask=mask, class_name=class_name)


def _examples_of_folder(folder: Path, masks_required: bool) -> list[Example]:
    """The folder's own pairs, then those of its subfolders, each under the name of its folder."""
    entries = visible_entries(folder)
    files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
    images = [file for file in files if not is_output(file, folder)]
    masks = {mask for image in images for mask in mask_candidates(image)}
    class_name = folder.resolve().name
    examples = [_example(file, class_name, masks_required) for file in images if file not in masks]
    for entry in entries:
        if entry.is_dir():
            examples += _examples_of_folder(entry, masks_required)
    return examples
