"""Read images into arrays and write them back.

Inside the project an image is a ``(h w 3)`` uint8 RGB array, upright as a viewer displays it. `read_image` resolves
EXIF orientation, colour modes, bit depths, palettes, transparency and multiple frames. Colour profiles are not applied:
stored values count as sRGB.
"""

import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from likewise.errors import ImageError, MissingExtraError, OutputError
from likewise.io.atomic import write_atomically
from likewise.io.depth import to_8_bits, value_range
from likewise.io.opening import ALLOW_MORE, TRANSPOSED, Opened, Source, open_file, readable_formats, scaled_size
from likewise.io.paths import ImageFile
from likewise.io.raster import TiffPage, open_raster
from likewise.io.resize import resize_image

TIFF_SUFFIXES = (".tif", ".tiff")


def read_image(source: Source) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image as upright RGB.

    Args:
        source: A path, a Pillow image, the bytes of an image file, a binary file object, a numpy array ``(h w 3)`` or
            ``(h w)`` uint8, or a torch tensor ``(3 h w)`` or ``(1 h w)`` uint8. A contiguous, writable ``(h w 3)``
            array is returned without a copy.

    - EXIF orientation is applied, also to Pillow images.
    - Animations and multi-page files yield their first frame.
    - Transparent images are composed onto white.
    - Values of more than 8 bits are scaled (`to_8_bits`): integers from the smallest camera depth (8, 10, 12, 14 or 16
      bits) that holds the brightest pixel, since 12-bit cameras write 16-bit files; floats from [0, 1] or [0, 255];
      other ranges from minimum to maximum. Hot pixels and "no data" values do not count.
    - Other colour modes, such as CMYK, are converted by Pillow without a colour profile.

    Raises:
        ImageError: The source cannot be read or has an unsupported type; the message says what to do.
    """
    return read_scaled(source).pixels


@dataclass(frozen=True, eq=False)
class ScaledImage:
    """An upright RGB image at the scale that is needed.

    Attributes:
        pixels: At that scale.
        size: Height and width of the whole image.
        source: What the whole image is read from if `pixels` are reduced.
        name: That of the `ImageFile`, or of the file; empty for an image in memory.
    """

    pixels: UInt8[np.ndarray, "_h _w 3"]
    size: tuple[int, int]
    source: Source = None
    name: str = ""

    @cached_property
    def whole(self) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels of the whole image; if they are reduced, they are read now.

        Raises:
            ImageError: As in `read_image`.
        """
        return self.pixels if self.pixels.shape[:2] == self.size else read_image(self.source)


def read_scaled(source: Source | ImageFile | ScaledImage, short: int | None = None) -> ScaledImage:
    """Return an image whose short side is at most `short` pixels (`scaled_size`).

    JPEG files are decoded at about that scale, in less time and memory. A `ScaledImage` is returned unchanged.

    Raises:
        ImageError: As in `read_image`.
    """
    if isinstance(source, ScaledImage):
        return source
    if isinstance(source, ImageFile):
        return replace(read_scaled(source.source, short), name=source.name)
    if isinstance(source, str | Path):
        return replace(_read(source, short), name=Path(source).name)
    return _read(source, short)


def _read(source: Source, short: int | None) -> ScaledImage:
    if is_tensor(source):
        source = _array_of_tensor(source)
    if isinstance(source, np.ndarray):
        pixels = _checked_array(source)
        size = (pixels.shape[0], pixels.shape[1])
        small = size if short is None else scaled_size(*size, short)
        return ScaledImage(pixels if small == size else resize_image(pixels, *small), size, pixels)
    if isinstance(source, TiffPage):
        return _read_page(source, short)
    try:
        opened = open_file(source, short)
    except ImageError:
        # Pillow reads few modes of TIFF; if tifffile fails too, its reason is no better
        if isinstance(source, str | Path) and Path(source).suffix.lower() in TIFF_SUFFIXES:
            with suppress(ImageError, MissingExtraError):
                return _read_page(TiffPage(Path(source)), short)
        raise
    try:
        image = _to_rgb(opened)
    except (ValueError, OSError) as error:
        raise ImageError(
            f"{opened.name}: cannot convert mode {opened.image.mode} to RGB ({error}); save it as RGB"
        ) from error
    height, width = opened.size if short is None else scaled_size(*opened.size, short)
    if (image.height, image.width) != (height, width):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return ScaledImage(np.array(image.convert("RGB") if image.mode == "L" else image), opened.size, opened.again)


def _read_page(source: TiffPage, short: int | None) -> ScaledImage:
    with open_raster(source) as raster:
        height, width = raster.size
        if Image.MAX_IMAGE_PIXELS is not None and height * width > 2 * Image.MAX_IMAGE_PIXELS:
            raise ImageError(f"{source}: has {height * width} pixels; {ALLOW_MORE}")
        values = raster.rows(0, height)
        scale = source.scale or value_range(values, raster.nodata)
        pixels = raster.pixels(values, scale)
        small = raster.size if short is None else scaled_size(height, width, short)
        return ScaledImage(pixels if small == raster.size else resize_image(pixels, *small), raster.size, source)


def _to_rgb(opened: Opened) -> Image.Image:
    """Return an RGB image, or a grey one."""
    image = opened.image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_8_bits(np.asarray(image), opened.nodata))
    if opened.low is not None:
        deep = np.asarray(image).astype(np.uint16) << 8 | np.asarray(opened.low)
        colours = Image.fromarray(to_8_bits(deep[..., :3]))
        if image.mode == "RGBA":
            colours.putalpha(image.getchannel("A"))
        image = colours
    if image.has_transparency_data:
        # via RGBA, the only mode that palettes and colour keys convert to with their transparency
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")


def read_size(path: Path) -> tuple[tuple[int, int], int]:
    """Return ``(h, w)`` of the upright image and its EXIF orientation (1 to 8), from the header where possible.

    Raises:
        ImageError: The image cannot be read.
    """
    try:
        with Image.open(path, formats=readable_formats()) as image:
            # for a PNG without EXIF data in its header, getexif decodes the pixels
            has_exif = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if has_exif else 1
            (width, height), format = image.size, image.format
    except Exception:  # HEIC, or a damaged file, for which read_image raises the error
        format, orientation = None, 1
    if format is None or (format == "TIFF" and orientation in TRANSPOSED):  # some versions of Pillow swap it already
        height, width = read_image(path).shape[:2]
        return (height, width), orientation
    return ((width, height) if orientation in TRANSPOSED else (height, width)), orientation


def save_image(array: np.ndarray, path: str | Path) -> None:
    """Write ``(h w)`` bool, uint8 or uint16, ``(h w 3)`` RGB or ``(h w 4)`` RGBA uint8 in the format of the suffix.

    Bool becomes 0 and 255. The file is written atomically.
    """
    if array.dtype == bool:
        array = array.view(np.uint8) * np.uint8(255)
    save_pillow(Image.fromarray(array), path)


def save_pillow(image: Image.Image, path: str | Path) -> None:
    """Write a Pillow image atomically in the format of the suffix.

    Raises:
        OutputError: An unknown suffix, or the system refuses to write.
    """
    if Path(path).suffix.lower() not in Image.registered_extensions():
        raise OutputError(f"{path}: no image format has the suffix {Path(path).suffix!r}; use .png or .jpg")
    suffix = Path(path).suffix.lower()
    options: dict[str, Any] = {}
    if suffix in (".jpg", ".jpeg"):  # without chroma subsampling: overlays have thin coloured contours
        options = {"quality": 92, "subsampling": 0}
    elif suffix == ".png" and image.mode in (
        "1",
        "L",
        "P",
    ):  # for masks: smaller than level 6, in two thirds of the time
        options = {"compress_level": 1, "compress_type": zlib.Z_RLE}
    with write_atomically(path) as part:
        image.save(part, **options)


def is_tensor(source: object) -> bool:
    """Return whether an object is a torch tensor, without importing torch."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(source).__mro__)


def tensor_values(tensor: Any) -> np.ndarray:
    """Return the values of a torch tensor on any device as a numpy array."""
    return tensor.detach().cpu().numpy()


def _array_of_tensor(tensor: Any) -> np.ndarray:
    array = tensor_values(tensor)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ImageError(
            f"an image tensor is (3, height, width) uint8 RGB; got shape {tuple(array.shape)} {tensor.dtype}; "
            "move the channels first and scale the values to 0-255"
        )
    return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)


def _checked_array(image: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if image.dtype == np.uint8 and image.size:
        if image.ndim == 2:
            return np.repeat(image[..., None], 3, axis=2)
        if image.ndim == 3 and image.shape[2] == 3:
            # torch.from_numpy takes neither negative strides nor read-only memory
            return np.require(image, requirements=["C", "W"])
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        advice = "move the channels last: image.transpose(1, 2, 0)"
    elif image.ndim == 3 and image.shape[2] == 4:
        advice = "drop the alpha channel: image[..., :3]"
    elif image.size and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        advice = "scale it to 0-255 and convert it: image.astype(np.uint8)"
    else:
        advice = "give one image at a time, with at least one pixel"
    raise ImageError(
        "an image array is (height, width, 3) uint8 RGB or (height, width) uint8 grey; "
        f"got shape {image.shape} {image.dtype}; {advice}"
    )
