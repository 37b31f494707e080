"""Text files that name classes, with or without their labels and colours."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from likewise.errors import DataSetError
from likewise.io.labels import IGNORE
from likewise.io.masks import Colour

# fmt: off
PASCAL = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
"""Labels 1 to 20 of PASCAL VOC."""

LEGEND = "legend.csv"
"""The file of an output folder that names the labels and colours of its label images."""

PALETTE_FILES = (LEGEND, "labelmap.txt", "label_colors.txt", "class_dict.csv", "colormap.txt")
"""Names of files of colours beside a mask or above it: ours, CVAT's, and those of public data sets."""

_NUMBERED = re.compile(r"([0-9]+)(?:\s*[:,;.]\s*|\s+)(.+)")


@dataclass(frozen=True)
class NamedLabel:
    """A class with its colour, and its label if the file has one."""

    name: str
    colour: Colour
    label: int | None = None


def read_lines(path: Path) -> list[str]:
    """Return the non-empty lines of a text file, without a byte order mark.

    Raises:
        DataSetError: No such file, or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataSetError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except OSError as error:
        raise DataSetError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_class_table(path: Path) -> dict[int, str]:
    """Return the name of each label from lines ``<label> <name>`` or ``<label>: <name>``, or ``<name>`` from 0.

    Raises:
        DataSetError: A missing file, a label beyond 254 or given twice, or a line without a name.
    """
    lines = read_lines(path)
    if not any(re.match(r"[0-9]+(?:[\s:,;.]|$)", line) for line in lines):
        return dict(enumerate(lines))
    found: dict[int, str] = {}
    for line in lines:
        match = _NUMBERED.fullmatch(line)
        if match is None or int(match[1]) >= IGNORE or int(match[1]) in found:
            raise DataSetError(f"{path}: {line!r} is not <label 0-254, once> <name>")
        found[int(match[1])] = match[2].strip()
    return found


def find_palette(folder: Path) -> Path | None:
    """Return the file of colours in a folder, or in the folder above it."""
    places = [folder, folder.absolute().parent]
    return next((path for place in places for name in PALETTE_FILES if (path := place / name).is_file()), None)


def read_palette(path: Path) -> list[NamedLabel]:
    """Return the classes of CVAT's ``labelmap.txt`` (``name:r,g,b:parts:actions``) or of a table of names and colours.

    A table has a line for each class, with fields separated by commas, semicolons, tabs or spaces: three numbers in a
    row are the colour, a single number before the others is the label, the rest is the name.

    Raises:
        DataSetError: The file cannot be read, or a line has no colour.
    """
    found: list[NamedLabel] = []
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        if "::" in line and (name := line.partition(":")[0]) and not line.partition("::")[0].count(":"):
            found.append(NamedLabel(name, voc_palette()[len(found)]))  # datumaro, for labels without colours
            continue
        match = re.fullmatch(r"(.*?):\s*(\d+),\s*(\d+),\s*(\d+)\s*(?::.*)?", line)
        fields = [match[1], *match.groups()[1:]] if match else _fields(line)
        at = next((i for i in range(len(fields) - 2) if all(map(_is_byte, fields[i : i + 3]))), None)
        if at == 0 and len(fields) > 4 and _is_byte(fields[3]):  # label, r, g, b, name
            at = 1
        if at is None:
            if found:
                raise DataSetError(f"{path}: {line!r} has no colour; write name,red,green,blue")
            continue  # a heading
        label = int(fields[at - 1 if at == 1 else 0]) if at and fields[0].isdecimal() else None
        names = [field for i, field in enumerate(fields) if not at <= i < at + 3 and not (label is not None and i == 0)]
        red, green, blue = (int(field) for field in fields[at : at + 3])
        found.append(NamedLabel(" ".join(names) or str(label), (red, green, blue), label))
    if not found:
        raise DataSetError(f"{path}: names no colours; write a line name,red,green,blue for each class")
    return found


def _fields(line: str) -> list[str]:
    separator = next((one for one in ",;\t" if one in line), " ")
    fields = [field.strip() for field in next(csv.reader([line], delimiter=separator))]
    if separator == "\t":  # ADE20K's and CamVid's "128 0 0<tab>sky"
        fields = [part for field in fields for part in (field.split() if field[:1].isdecimal() else [field])]
    return [field for field in fields if field]


def _is_byte(text: str) -> bool:
    return text.isdecimal() and int(text) <= 255


def voc_palette(count: int = 256) -> list[Colour]:
    """Return PASCAL VOC's colours: a label's bits, three at a time, from the highest bits of red, green and blue."""
    colours = []
    for label in range(count):
        red = green = blue = 0
        for bit in range(8):
            red |= (label >> 3 * bit & 1) << 7 - bit
            green |= (label >> 3 * bit + 1 & 1) << 7 - bit
            blue |= (label >> 3 * bit + 2 & 1) << 7 - bit
        colours.append((red, green, blue))
    return colours
