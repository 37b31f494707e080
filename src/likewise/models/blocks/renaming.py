"""Renaming the entries of published checkpoints by their prefixes."""

from likewise.errors import WeightsError


def rename_entry(published: str, prefixes: dict[str, str], method: str) -> str:
    """Return a published entry's name without `module.` and with its first matching prefix replaced by ours."""
    name = published.removeprefix("module.")
    for theirs, ours in prefixes.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise WeightsError(f"{published!r} is not an entry of {method}'s checkpoint")
