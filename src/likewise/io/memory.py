"""How much memory a run may use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from likewise.errors import ArgumentError

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows the limits of containers and services."""
SHARE = 0.5
"""Share of the free memory that a run uses by default; the rest is for the network and other programs."""
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Return a number of bytes: ``800M``, ``4G``, ``4GB`` or ``4000000000``.

    Raises:
        ArgumentError: Anything else, or nothing.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    size = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if not size:
        raise ArgumentError(f"{text!r} is not an amount of memory; write 800M or 4G")
    return size


def format_bytes(size: float) -> str:
    """Return a size for messages: ``1.5 GB``."""
    return f"{size / (1 << 30):.1f} GB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MB"


def default_budget() -> int:
    """Return the bytes that a run may use: `SHARE` of what the machine and the limits on this process leave free."""
    import psutil

    return int(SHARE * max(0, min([psutil.virtual_memory().available, *_left_in_cgroups()])))


def _left_in_cgroups() -> Iterator[int]:
    """Yield the bytes that are left below each limit of this process's control groups, of version 2 and 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = (*line.split(":", 2), "", "")[:3]
        version2 = not controllers
        if not version2 and "memory" not in controllers.split(","):
            continue
        top = CGROUPS if version2 else CGROUPS / "memory"
        names = ("memory.max", "memory.current") if version2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        place = top / own.lstrip("/")
        for folder in (place, *place.parents):  # inside a container the own path may not exist, its root does
            if folder == top.parent:
                break
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                yield limit - used + _reclaimable(folder)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None


def _reclaimable(folder: Path) -> int:
    """Return the bytes of cached files that the kernel gives back."""
    try:
        entries = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(entries.get("total_inactive_file", entries["inactive_file"]))
    except (OSError, ValueError, KeyError):
        return 0
