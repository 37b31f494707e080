"""Masks, labels, scribbles and boxes as people make them, each as planes of the image's size.

Inside the project a mask is ``(h w)`` bool. Failures of a file are the `ImageError` of `likewise.io.images`.
"""

import math

import numpy as np
from jaxtyping import Bool, UInt8

from likewise.errors import ImageError
from likewise.io.images import Source, format_size, opened, to_8_bits


def read_mask(
    mask: Source, *, label: int | None = None, size: tuple[int, int] | None = None
) -> Bool[np.ndarray, "h w"]:
    """Where the object is. An empty mask is allowed here; the models refuse it.

    What counts as the object, in this order:

    1. with `label`: the pixels whose stored value is `label`: palette indices for a palette PNG, grey values
       otherwise; colours and alpha play no part;
    2. an alpha channel that is not constant: alpha above 127;
    3. 1-bit images and boolean arrays: as they are; floats in [0, 1]: above 0.5;
    4. at most one value beside 0 (0/1, 0/255, 0/7): that value; two colours of which one is black: the other;
    5. black and white with a soft edge (anti-aliasing, JPEG): above 127.

    Several values otherwise are a label image, and an error lists them and asks for `label`.

    `size` is the image's ``(h, w)``; a mask of another size raises `ImageError`.
    """
    name, values, palette = _stored_values(mask)
    _check_size(name, "mask", values.shape[:2], size)
    if label is not None:
        labels = _plane_of_labels(name, values)
        chosen = labels == label
        if not chosen.any():
            raise ImageError(f"{name}: no pixel has label {label}; there are {_listed(_present(labels))}")
        return chosen
    if values.ndim == 3:
        if values.shape[2] == 4 and values[..., 3].min() != values[..., 3].max():
            return values[..., 3] > 127
        return _coloured_mask(name, values[..., :3])
    if palette is not None and _is_grey(palette[_present(values), :3]):
        values = palette[values, 0]  # a quantised black and white image: its indices mean nothing
    return _grey_mask(name, values)


def read_labels(path: Source) -> UInt8[np.ndarray, "h w"]:
    """The stored values of a label image (palette indices or grey values): 0 background, 255 ignored."""
    name, values, _ = _stored_values(path)
    labels = _plane_of_labels(name, values)
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ImageError(f"{name}: labels must lie in 0-255, there are {_listed(_present(labels))}")
    return labels.astype(np.uint8)


def read_scribbles(
    scribbles: Source, *, size: tuple[int, int] | None
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """The foreground strokes and the background strokes; every other pixel is unknown.

    Two ways to draw them:

    - a label image (palette or grey): 0 unknown, 1 foreground, 2 background;
    - colours on a transparent, black or white canvas: **green is foreground, red is background**. A pixel
      belongs to a stroke where its green (or red) exceeds both other channels by more than 64 of 255, so that
      bright and dark greens count and soft edges do too. Strokes painted onto the photograph itself are
      refused, since the grass in it would be green too: paint them on a layer of their own and save that.

    A palette image is read by its indices if they are 0, 1, 2, unless its palette makes bright green or red
    of them, as a drawing program does that saves colours as a palette.

    `size` is the image's ``(h, w)``. Raises `ImageError` for another size, other values or colours, and
    where no foreground stroke is found. Background strokes may be missing.
    """
    name, values, palette = _stored_values(scribbles)
    _check_size(name, "scribbles image", values.shape[:2], size)
    if palette is not None:
        used = palette[_present(values), :3]
        # above 140: the customary label palette (PASCAL VOC) has 1 dark red and 2 dark green, of 128
        vivid = (_strokes(used) & (used.max(axis=1) > 140)).any()
        if vivid or not set(_present(values)) <= {0, 1, 2}:
            values = palette[values]
    if values.ndim == 3 and not _is_grey(values[..., :3]):
        foreground, background = _coloured_strokes(name, values)
    else:
        labels = _plane_of_labels(name, values)
        present = _present(labels)
        if not set(present) <= {0, 1, 2}:
            raise ImageError(
                f"{name}: scribbles are values 0 (unknown), 1 (foreground), 2 (background), or green "
                f"(foreground) and red (background) strokes in colour; this is grey with {_listed(present)}"
            )
        foreground, background = labels == 1, labels == 2
    if not foreground.any():
        raise ImageError(
            f"{name}: no foreground stroke; draw one over the object in green (or with value 1 in a label image)"
        )
    return foreground, background


def parse_box(text: str) -> tuple[float, float, float, float]:
    """The four numbers of ``x0,y0,x1,y1``; whether they make a box is for `box_mask` to say."""
    parts = text.split(",")
    try:
        x0, y0, x1, y1 = (float(part) for part in parts)
    except ValueError:
        raise ValueError(f"a box is four numbers x0,y0,x1,y1 in pixels, such as 40,30,200,180; got {text!r}") from None
    return x0, y0, x1, y1


def box_mask(box: tuple[float, float, float, float], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """True inside the box, for an image of ``(h, w)``.

    The box is ``(x0, y0, x1, y1)`` in pixels from the top left corner, x1 and y1 exclusive; with fractions, a
    pixel is inside when its centre is. What reaches beyond the image is cut off. Raises `ValueError` for a
    box that is not finite, reversed, without a pixel, or wholly outside.
    """
    height, width = size
    x0, y0, x1, y1 = box
    shown = ",".join(f"{edge:g}" for edge in box)
    what = f"box {shown} (x0,y0,x1,y1) in an image of {format_size(height, width)}"
    if not all(math.isfinite(edge) for edge in box):
        raise ValueError(f"{what}: all four numbers must be finite")
    if x1 < x0 or y1 < y0:
        raise ValueError(f"{what}: reversed; x0,y0 is the top left corner and x1,y1 the bottom right one")
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in (x0, y0, x1, y1))
    if left >= right or top >= bottom:
        raise ValueError(f"{what}: holds no pixel; x1 must exceed x0 and y1 must exceed y0, by a pixel at least")
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise ValueError(f"{what}: lies wholly outside the image")
    mask = np.zeros((height, width), dtype=bool)
    mask[max(top, 0) : bottom, max(left, 0) : right] = True
    return mask


def _stored_values(source: Source) -> tuple[str, np.ndarray, UInt8[np.ndarray, "256 4"] | None]:
    """What to call it, the values as stored, and the RGBA palette if it has one.

    Values are ``(h w)`` of any type (of a palette image its indices), or ``(h w 3)`` or ``(h w 4)`` uint8.
    """
    if isinstance(source, np.ndarray):
        plane = source.ndim == 2 and source.dtype.kind in "buif"
        colours = source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8
        if not (plane or colours) or not source.size:
            raise ValueError(
                "a mask array must be (height, width) of bool, integers or floats, or (height, width, 3 or "
                f"4) uint8; got shape {source.shape} {source.dtype}"
            )
        return "the given array", source, None
    name, image = opened(source)
    if image.mode == "P":
        # 256 rows whatever the file holds, so that indices beyond a short palette are black, not an error
        palette = np.zeros((256, 4), dtype=np.uint8)
        image.apply_transparency()
        stored = np.array(image.getpalette("RGBA") or [], dtype=np.uint8).reshape(-1, 4)
        palette[: len(stored)] = stored
        return name, np.asarray(image), palette
    if image.mode in {"1", "L", "F"} or image.mode.startswith("I"):
        return name, np.asarray(image), None
    return name, np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")), None


def _check_size(name: str, kind: str, found: tuple[int, ...], size: tuple[int, int] | None) -> None:
    if size is None or found == size:
        return
    reason = "draw it on an image of the same size"
    if found == (size[1], size[0]):
        reason = (
            "width and height are exchanged: the image carries an EXIF rotation that the tool which made "
            f"the {kind} ignored; turn the {kind} to match what a viewer shows"
        )
    raise ImageError(
        f"{name}: the {kind} is {format_size(found[0], found[1])}, but its image is {format_size(*size)}; {reason}"
    )


def _plane_of_labels(name: str, values: np.ndarray) -> np.ndarray:
    """``(h w)`` integers."""
    if values.ndim == 3:
        if not _is_grey(values[..., :3]):
            raise ImageError(
                f"{name}: labels are the stored values of a palette or greyscale image, and this one is in "
                "colour; save it as a palette PNG whose indices are the labels"
            )
        return values[..., 0]
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.rint(values)):
            raise ImageError(f"{name}: labels are whole numbers, and this holds fractions")
        return values.astype(np.int64)
    return values.astype(np.uint8) if values.dtype == bool else values


def _coloured_mask(name: str, colours: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    if _is_grey(colours):
        return _grey_mask(name, colours[..., 0])
    painted = colours.max(axis=2) > 0
    if (colours[painted] == colours[painted][0]).all():
        return painted
    raise ImageError(
        f"{name}: an image in several colours, where a mask is needed; save the mask as a black and white "
        "PNG, or as a palette PNG and say which index is the object with --label (label=...)"
    )


def _grey_mask(name: str, values: np.ndarray) -> Bool[np.ndarray, "h w"]:
    if values.dtype == bool:
        return values.copy()
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ImageError(f"{name}: a mask of floats must lie in [0, 1]; it spans {_span(values)}")
        return values > 0.5
    present = _present(values)
    if len(present) == 1 or (len(present) == 2 and present[0] == 0):
        return values > 0
    if present[0] >= 0:
        grey = values if present[-1] <= 255 else to_8_bits(values)
        if _has_soft_edges(grey):
            return grey > 127
    if len(present) > 64:
        raise ImageError(
            f"{name}: holds {len(present)} different values, so it looks like a photograph; a mask is black "
            "and white, or a label image with --label (label=...)"
        )
    raise ImageError(
        f"{name}: holds several labels, {_listed(present)}; say which one is the object with --label (label=...)"
    )


def _has_soft_edges(grey: np.ndarray) -> bool:
    """Whether this is black and white with soft edges rather than labels.

    A label image such as 0, 15, 255 (PASCAL VOC, 255 to be ignored) must not pass: taking its 255 for the
    object would be silently wrong. Soft edges have greys on both sides of the middle, and fewer of them than
    white.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    between = counts[17:239].nonzero()[0] + 17
    if len(between) < 3 or not between[0] <= 127 < between[-1]:
        return False
    return bool(counts[:17].sum() > 0 and counts[17:239].sum() < counts[239:].sum())


def _strokes(colours: UInt8[np.ndarray, "*axes 3"]) -> Bool[np.ndarray, "..."]:
    """Where a colour is green, and where it is red, along a new first axis."""
    red, green, blue = np.moveaxis(colours.astype(np.int16), -1, 0)
    return np.stack([green - np.maximum(red, blue) > 64, red - np.maximum(green, blue) > 64])


def _coloured_strokes(name: str, colours: np.ndarray) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    drawn = colours[..., 3] > 127 if colours.shape[2] == 4 else np.ones(colours.shape[:2], dtype=bool)
    colours = colours[..., :3]
    foreground, background = _strokes(colours) & drawn
    canvas = (colours.max(axis=2) <= 64) | (colours.min(axis=2) >= 191)
    other = drawn & ~foreground & ~background & ~canvas
    # a few pixels of other colours arise where strokes cross softly
    if other.sum() > 0.25 * (foreground.sum() + background.sum()):
        shown = tuple(int(value) for value in colours[other][0])
        raise ImageError(
            f"{name}: {int(other.sum())} pixels are neither green (foreground) nor red (background) strokes "
            f"nor a plain canvas, for example RGB {shown}; draw on a transparent, black or white canvas, "
            "not on the photo"
        )
    return foreground, background


def _is_grey(colours: UInt8[np.ndarray, "*axes 3"]) -> bool:
    return bool((colours[..., :1] == colours[..., 1:]).all())


def _present(values: np.ndarray) -> np.ndarray:
    """The different values, ascending."""
    if values.dtype in (np.uint8, np.uint16):  # many times quicker than sorting a large image
        return np.bincount(values.ravel()).nonzero()[0]
    return np.unique(values)


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(str(int(value)) for value in values[:24])
    return f"{shown}, ... ({len(values)} in all)" if len(values) > 24 else shown


def _span(values: np.ndarray) -> str:
    return f"{values.min():g} to {values.max():g}"
