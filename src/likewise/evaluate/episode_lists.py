"""Episode lists as files: one JSON object per line."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from likewise.data.episodes import Episode
from likewise.errors import DataSetError
from likewise.io.atomic import write_atomically


def write_episodes(path: Path | str, episodes: Iterable[Episode]) -> None:
    """Write an episode list, with "classes", "supports" (for each way), "query" and "seed" on each line."""
    with write_atomically(path) as part:
        part.write_text("".join(json.dumps(asdict(episode)) + "\n" for episode in episodes))


def read_episodes(path: Path | str) -> list[Episode]:
    """Return the episodes in a file of `write_episodes`.

    Raises:
        DataSetError: a missing file, or a line that is not an episode; the message has its number.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise DataSetError(f"{path}: cannot read the episode list ({error.strerror})") from error
    episodes = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            classes = tuple(map(str, record["classes"]))
            supports = tuple(tuple(map(str, shots)) for shots in record["supports"])
            episodes.append(Episode(classes, supports, str(record["query"]), int(record["seed"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DataSetError(
                f"{path}, line {number}: not an episode with classes, supports, query and seed ({error!r})"
            ) from error
    return episodes
