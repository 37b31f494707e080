"""Examples: images that show what to look for.

Example (an image with a mask, boxes, points or scribbles) -> mark -> foreground, background
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ArgumentError, ExampleError, warn, warnings_about
from likewise.io.images import Source, read_image, save_image
from likewise.io.labels import IGNORE
from likewise.io.marks import Box, box_mask, read_scribbles
from likewise.io.masks import Label, read_mask
from likewise.io.raster import TiffPage
from likewise.io.stored_values import MaskSource
from likewise.predict.equality import EqualByValue
from likewise.predict.selector import Selector
from likewise.predict.selector_planes import boxes_mask, boxes_of
from likewise.viz.draw import line_width, outline, overlay, png

RING = 0.25
"""Width of the background around a box alone, as a share of the box's sides; set without a measurement."""
DEFAULT_CLASS = "object"
"""The class of an example that names none."""

MARKS = ("mask", "box", "points", "scribbles")
"""The attributes of an example that mark its object."""

INVERTED = 0.5
"""Share of the image from which a mask of all four corners is probably inverted; set without a measurement."""

BOX_COLOUR, POINT_COLOURS = (255, 221, 87), ((213, 42, 42), (38, 166, 91))
"""Colours of boxes, of points not on the object, and of points on it, in `Example.overlay`."""

Point = tuple[float, float, int]
"""`(x, y, label)` in pixels: 1 on the object, 0 not on it."""


@dataclass(frozen=True, eq=False, repr=False)
class Example(EqualByValue):
    """One image and where its object is: exactly one of mask, box, points or scribbles; a negative may have none.

    Attributes:
        image: a path, a Pillow image, an array, or anything else that `likewise.io.images.read_image` takes.
        mask: where the object is, as `likewise.io.masks.read_mask` takes it; of the image's size.
        box: `(x0, y0, x1, y1)` in pixels, the last two exclusive, or several such boxes, each around one object whose
            mask `likewise.Selector` makes; nothing outside is the object. In a negative, nothing inside is the object.
        points: `(x, y, label)` in pixels, label 1 on the object, 0 not on it; `likewise.Selector` makes the mask.
        scribbles: strokes as `likewise.io.masks.read_scribbles` takes them; pixels without a stroke are unknown.
        absent: a negative: the object is not in the image, or, with a mask, a box or scribbles, not there.
        ignore: a mask of pixels that are unknown, neither object nor background, whatever else marks them.
        class_name: the name of the object's class; examples with the same name are shots of one class.
        label: the value or colour of the object in a mask of several classes; "nonzero" for all but 0.
        invert: the mask is true where the object is not.
        box_only: outside each box only a ring counts as background, a quarter of its sides wide; all else is unknown,
            since more of the same objects may be there.
    """

    image: Source
    mask: MaskSource | None = None
    box: Box | Sequence[Box] | None = None
    scribbles: Source | None = None
    ignore: MaskSource | None = None
    absent: bool = False
    class_name: str = DEFAULT_CLASS
    label: Label | None = None
    invert: bool = False
    box_only: bool = False
    points: Sequence[Point] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.class_name, str) or not self.class_name.strip():
            raise ArgumentError(f"the class name is {self.class_name!r}; give a text that is not empty")

    def __repr__(self) -> str:
        given = [name for name in (*MARKS, "ignore") if getattr(self, name) is not None]
        kind = ", absent" if self.absent else ""
        return f"Example({self.name!r}, {self.class_name!r}, {' and '.join(given) or 'unmarked'}{kind})"

    @property
    def name(self) -> str:
        """The image's path; "the example" if it has none."""
        return (
            str(getattr(self.image, "path", self.image))
            if isinstance(self.image, str | Path | TiffPage)
            else "the example"
        )

    def overlay(self) -> UInt8[np.ndarray, "h w 3"]:
        """The image with the object tinted and outlined, unknown pixels grey, and its boxes and points drawn.

        Raises:
            ImageError, ExampleError: see `mark`.
        """
        image, foreground, background = mark(self)
        labels = np.where(foreground, 1, np.where(background, 0, IGNORE)).astype(np.uint8)
        drawn, size = overlay(image, labels), (image.shape[0], image.shape[1])
        for box in self.boxes:
            drawn = outline(drawn, box_mask(box, size), BOX_COLOUR)
        rows, columns = np.ogrid[: size[0], : size[1]]
        for x, y, label in self.points or ():
            spot = (rows - y) ** 2 + (columns - x) ** 2 <= (2 * line_width(*size)) ** 2
            drawn = outline(drawn, spot, POINT_COLOURS[label])
        return drawn

    @property
    def boxes(self) -> list[Box]:
        """The boxes, none or more."""
        return [] if self.box is None else list(boxes_of(self.box))

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

    The foreground of a negative is what the object is not: the marked region, or the whole image.

    Scribbles without a background stroke make all other pixels background. Warns if there is no background, or if a
    mask is probably inverted.

    Raises:
        ImageError: a file that cannot be read, or a mask of another size than the image.
        ExampleError: no object pixel, or an object that is not marked in exactly one way.
        ArgumentError: an impossible box.
    """
    given = [name for name in MARKS if getattr(example, name) is not None]
    if len(given) != 1 and not (example.absent and not given):
        raise ExampleError(
            f"{example.name}: give exactly one of mask, box, points or scribbles; got {' and '.join(given) or 'none'}"
        )
    image = read_image(example.image)
    size = (image.shape[0], image.shape[1])
    background = None
    if not given:
        foreground = np.ones(size, bool)
    elif example.scribbles is not None:
        foreground, background = read_scribbles(example.scribbles, size=size)
    elif example.box is not None:
        boxes = example.boxes
        inside = boxes_mask(boxes, size)
        foreground = inside if example.absent else select_in_boxes(image, boxes)
        if example.box_only:
            around = np.any([ring_mask(box, size) for box in boxes], axis=0)
            background = (inside | around) & ~foreground
    elif example.points is not None:
        foreground = Selector(image).mask(
            [(x, y) for x, y, _ in example.points], [label for _, _, label in example.points]
        )
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
        if not background.any() and not example.absent:
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


def select_in_boxes(image: UInt8[np.ndarray, "h w 3"], boxes: Sequence[Box]) -> Bool[np.ndarray, "h w"]:
    """Return the masks of the objects in the boxes, united; where none is found, all of the box."""
    selector, size = Selector(image), (image.shape[0], image.shape[1])
    found = np.zeros(size, bool)
    for box in boxes:
        own = selector.mask(box=box)
        found |= own if own.any() else box_mask(box, size)
    return found


def ring_mask(box: Box, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the box widened by `RING` of its sides in each direction, within the image of `size` (height, width)."""
    across, down = (RING * (box[at + 2] - box[at]) for at in (0, 1))
    x0, y0, x1, y1 = box[0] - across, box[1] - down, box[2] + across, box[3] + down
    return box_mask((max(0, x0), max(0, y0), min(size[1], x1), min(size[0], y1)), size)
