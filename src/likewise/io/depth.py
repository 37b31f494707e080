"""Values of any depth as 8 bits."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

DEPTHS = (255, 1023, 4095, 16383, 65535)
"""The largest values of cameras of 8, 10, 12, 14 and 16 bits."""

NODATA = 42113
"""GDAL's TIFF tag of the value that stands for missing data."""

LONE = 1e-3
"""Fraction of the brightest, and of the darkest, values that no scale counts: hot and dead pixels."""


class Range(NamedTuple):
    """The values that become black and white."""

    low: float
    high: float


def parse_nodata(text: object) -> float | None:
    """Return the value in GDAL's tag; None for no number."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def to_8_bits(
    values: np.ndarray, nodata: float | None = None, scale: Range | None = None
) -> UInt8[np.ndarray, "h w *channels"]:
    """Return values of any depth scaled to 8 bits as `read_image` describes.

    The `LONE` brightest and darkest values do not count, nor does an extreme value that is farther from the others than
    they spread, such as -9999 or 65535 for missing data. They become black or white.

    Args:
        nodata: A value that does not count.
        scale: That of other values, such as a sample of a mosaic; None: that of these.
    """
    low, high = scale or value_range(values, nodata)
    finite = values if values.dtype.kind != "f" else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    scaled = (finite.astype(np.float32) - low) * (255 / (high - low or 1.0))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def value_range(values: np.ndarray, nodata: float | None = None) -> Range:
    """Return the values that become black and white, as `to_8_bits` describes."""
    if values.dtype in (np.uint8, bool):
        return Range(0.0, float(np.iinfo(np.uint8).max if values.dtype == np.uint8 else 1))
    low, high = _robust_range(values[np.isfinite(values)], nodata)
    if values.dtype.kind == "f":
        if low >= 0 and high <= 1:
            high, low = 1.0, 0.0
        elif low >= 0 and high <= 255:
            high, low = 255.0, 0.0
    elif low >= 0 and high <= DEPTHS[-1]:
        low, high = 0.0, float(next(top for top in DEPTHS if high <= top))
    return Range(low, high)


def _robust_range(values: np.ndarray, nodata: float | None) -> tuple[float, float]:
    """Return the smallest and the largest value that count."""
    if nodata is not None:
        values = values[values != values.dtype.type(nodata)]
    for extreme_of in (np.min, np.max):
        if not values.size:
            return 0.0, 0.0
        extreme = extreme_of(values)
        others = values[values != extreme]
        if others.size and abs(float(extreme_of(others)) - float(extreme)) > float(np.ptp(others)) > 0:
            values = others
    last = values.size - 1
    places = min(int(LONE * last) + 1, last), max(int((1 - LONE) * last), 0)
    ordered = np.partition(values.ravel(), places)
    return float(ordered[places[0]]), float(ordered[places[1]])
