"""Renaming the entries of published checkpoints by their prefixes."""

from __future__ import annotations

from likewise.errors import WeightsError


def rename_entry(published: str, prefixes: dict[str, str], method: str) -> str:
    """Return a published entry's name with its prefix replaced by ours; `module.` before it is dropped.

    Args:
        prefixes: our prefix by the published one; the first match is used.
        method: name of the published method, for the error.

    Raises:
        WeightsError: no prefix matches.
    """
    name = published.removeprefix("module.")
    for theirs, ours in prefixes.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise WeightsError(f"{published!r} is not an entry of {method}'s checkpoint")
