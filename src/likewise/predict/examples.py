"""Examples: images that show what to look for, and how people give them on a command line.

texts -> find_examples -> Example (an image with a mask, a box or scribbles) -> mark -> foreground, background
"""

import re
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ImageError
from likewise.io.images import Source, read_image
from likewise.io.masks import box_mask, parse_box, read_mask, read_scribbles
from likewise.io.paths import (
    IMAGE_SUFFIXES,
    find_mask,
    is_output,
    mask_candidates,
    visible_entries,
)

DEFAULT_CLASS = "object"


@dataclass(frozen=True)
class Example:
    """One image and where its object is: exactly one of a mask, a box or scribbles.

    Attributes:
        image: a path, a Pillow image, or `(h w 3)` uint8 RGB.
        mask: as `likewise.io.masks.read_mask` takes it, of the image's size.
        box: `(x0, y0, x1, y1)` in pixels, the last two exclusive; all inside counts as object.
        scribbles: strokes as `likewise.io.masks.read_scribbles` takes them; what no stroke touches is unknown.
        class_name: what the object is called; examples of one name are shots of one class.
        label: the value of the object in a mask of several classes.
    """

    image: Source
    mask: Source | None = None
    box: tuple[float, float, float, float] | None = None
    scribbles: Source | None = None
    class_name: str = DEFAULT_CLASS
    label: int | None = None

    @property
    def name(self) -> str:
        """The image's path, for messages; "the example" when it has none."""
        return str(self.image) if isinstance(self.image, str | Path) else "the example"


def mark(
    example: Example,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """The example's image, its foreground and its background; a pixel in neither is unknown.

    Scribbles without a background stroke leave all other pixels to the background.

    Raises:
        ImageError: a file that cannot be read, or a mask of another size than the image.
        ValueError: no object pixel, or the object given in no or in several ways.
    """
    given = [name for name in ("mask", "box", "scribbles") if getattr(example, name) is not None]
    if len(given) != 1:
        raise ValueError(
            f"{example.name}: give exactly one of a mask, a box or scribbles; got {' and '.join(given) or 'none'}"
        )
    image = read_image(example.image)
    size = (image.shape[0], image.shape[1])
    if example.scribbles is not None:
        foreground, background = read_scribbles(example.scribbles, size=size)
        return image, foreground, background if background.any() else ~foreground
    if example.box is not None:
        foreground = box_mask(example.box, size)
    elif example.mask is not None:
        foreground = read_mask(example.mask, label=example.label, size=size)
    if not foreground.any():
        raise ValueError(f"{example.name}: its mask is empty; mark at least one pixel of the object")
    if foreground.all():
        warnings.warn(
            f"{example.name}: its mask covers the whole image, so it does not show what the object is not; "
            "leave some background, or add an example that has some",
            stacklevel=2,
        )
    return image, foreground, ~foreground


def find_examples(
    texts: Sequence[str | Path],
    *,
    boxes: Sequence[str] = (),
    scribbles: Sequence[Path] = (),
    label: int | None = None,
) -> tuple[list[Example], list[Path]]:
    """The examples that the texts name, and the saved concepts among them.

    Each text is one of

    - ``image=mask``;
    - an image whose mask lies beside it: x.mask.png, x_mask.png, or x.png where the image is not a PNG
      itself;
    - an image and, as the next text, its mask of the same stem (``cat.jpg cat.png``);
    - a folder of images with their masks beside them: the folder's name is the class. Its subfolders are
      classes too;
    - a saved concept, ``x.concept``.

    Outside of folders the class is called "object". With `boxes` (``x0,y0,x1,y1``) or `scribbles` the images
    need no masks: there must be one for each image, in order. `label` is the object's value in every mask.

    Raises:
        ImageError: what does not exist, an image without a mask, no example at all.
        ValueError: boxes or scribbles that are not one for each image, or both at once.
    """
    concepts = [Path(text) for text in texts if Path(text).suffix == ".concept"]
    others = [str(text) for text in texts if Path(text).suffix != ".concept"]
    if boxes and scribbles:
        raise ValueError("boxes and scribbles were both given; give one of them")
    instead = "boxes" if boxes else "scribbles"
    marks: Sequence[str | Path] = boxes or scribbles
    examples = _found(others, masks_required=not marks) if others else []
    if marks:
        if len(marks) != len(examples):
            raise ValueError(f"{len(examples)} example images, but {len(marks)} {instead}; give one for each, in order")
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
        raise ImageError("no example given; give image=mask, or an image whose mask lies beside it")
    return examples, concepts


def _found(texts: Sequence[str], *, masks_required: bool) -> list[Example]:
    rest = deque(texts)
    # shells expand photos/* to the images and their masks, in any order
    beside = {find_mask(Path(text)) for text in rest if Path(text).is_file()}
    examples: list[Example] = []
    while rest:
        text = rest.popleft()
        path = Path(text)
        if path.is_dir():
            found = _examples_of_folder(path, masks_required)
            if not found:
                raise ImageError(f"{text}: no image in this folder; put images and their masks there")
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
            raise ImageError(f"{text}: no such example; give image=mask, an image or a folder that exists")
    return list(dict.fromkeys(examples))


def _split_pair(text: str) -> tuple[Path, Path]:
    """The two files of ``image=mask``, whose names may hold a = too."""
    splits = [(text[: at.start()], text[at.end() :]) for at in re.finditer("=", text)]
    pairs = [(Path(a), Path(b)) for a, b in splits if Path(a).is_file() and Path(b).is_file()]
    if len(pairs) == 1:
        return pairs[0]
    if pairs:
        shown = " or ".join(f"{image} with mask {mask}" for image, mask in pairs)
        raise ImageError(f"{text}: may be {shown}; rename the files or put the mask beside its image")
    missing = [side for side in splits[0] if not Path(side).is_file()] if len(splits) == 1 else []
    if not missing:
        raise ImageError(f"{text}: no = in it stands between two files that exist; check the names")
    shown = " and no file ".join(side or "of the empty name" for side in missing)
    raise ImageError(f"{text}: read as image=mask, but there is no file {shown}; check the names")


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
        raise ImageError(
            f"{image}: no mask beside it; looked for {looked_for}. Give it as {image}=MASK, or draw a box or scribbles"
        )
    return Example(image, mask=mask, class_name=class_name)


def _examples_of_folder(folder: Path, masks_required: bool) -> list[Example]:
    """Its own pairs under its name, then those of its subfolders under theirs."""
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
