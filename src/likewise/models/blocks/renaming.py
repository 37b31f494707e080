"""What the authors' names have in common: parts of the network are known by how their entries start."""

from __future__ import annotations


def renamed(published: str, starts: dict[str, str], method: str) -> str:
    """The entry's name with its start replaced by ours, with or without `module.` before it.

    Args:
        starts: ours by theirs; the first that fits counts.

    Raises:
        ValueError: none fits, so the entry is not of this method.
    """
    name = published.removeprefix("module.")
    for theirs, ours in starts.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise ValueError(f"{published!r} is no entry of {method}'s checkpoint")
