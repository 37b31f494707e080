"""The settings that produced the files of a folder, and the guard that keeps runs of different settings apart."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from likewise.errors import LikewiseError, OutputError
from likewise.io.atomic import write_atomically

DIGESTS = {"concept": "the examples", "weights": "the model's weights"}
"""Settings whose values say nothing to a person, in words."""


def read_settings(path: Path, *, error: type[LikewiseError] = OutputError, advice: str) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        error: The file is missing or damaged; the message ends with `advice`.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(settings, dict):
            flatten(settings)  # a RecursionError if nested too deeply
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{path}: cannot read the settings of the earlier run ({cause}); {advice}") from cause
    if not isinstance(settings, dict):
        raise error(f"{path}: holds no settings; {advice}")
    return settings


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings as JSON, whole or not at all."""
    with write_atomically(path) as part:
        part.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def refuse_changes(
    folder: Path,
    recorded: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    error: type[LikewiseError] = OutputError,
    advice: str,
) -> None:
    """Refuse to add results to a folder whose recorded settings differ from the current ones.

    Nested keys are joined by dots: ``model.side``. Values are compared as JSON stores them, so a tuple equals a list.

    Raises:
        error: The settings differ. The message lists each changed key with both values and ends with `advice`.
    """
    before, after = flatten(recorded), flatten(json.loads(json.dumps(current)))
    changes = [
        f"{in_words(key)} changed"
        if in_words(key) and key in before and key in after
        else f"{key} was {before.get(key)!r} and is now {after.get(key)!r}"
        for key in changed_keys(recorded, current)
    ]
    if changes:
        raise error(f"{folder}: holds results of other settings: {', '.join(changes)}; {advice}")


def in_words(key: str) -> str:
    """Return what a digest stands for; empty for settings that people can read."""
    return f"the images of {key.removeprefix('groups.')}" if key.startswith("groups.") else DIGESTS.get(key, "")


def changed_keys(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return the keys, nested ones joined by dots, whose values differ as JSON stores them."""
    before, after = flatten(recorded), flatten(json.loads(json.dumps(current)))
    return [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level, with keys such as ``model.side``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
