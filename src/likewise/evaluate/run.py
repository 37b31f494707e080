"""A run: the folder between predicting and scoring, with episode lists and the settings that produced its masks.

An episode list has one JSON object per line.

    data, protocol --> start_run --> RUN/run.json, RUN/fold0/episodes.jsonl, ... --> read_run

A run resumes only with the settings that it started with.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from likewise.data.benchmarks import FOLDS, open_episodes
from likewise.data.episodes import Episode, EpisodeSet
from likewise.errors import ArgumentError, DataSetError, RunError, check_known
from likewise.evaluate.protocols import Protocol, find_protocol
from likewise.io.atomic import write_atomically
from likewise.io.settings import read_settings, refuse_changes, write_settings
from likewise.version import __version__


@dataclass(frozen=True)
class Run:
    """A folder of episode lists and masks.

    It holds `run.json` with the settings, everything that the masks depend on; and for each fold `episodes.jsonl` and
    `masks/`.
    """

    folder: Path
    settings: dict[str, Any]
    folds: dict[int, EpisodeSet]

    @property
    def protocol(self) -> Protocol:
        return find_protocol(self.settings["protocol"])

    @property
    def classes(self) -> set[str]:
        """The test classes of all folds."""
        return {name for dataset in self.folds.values() for name in dataset.classes}

    def list_path(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "episodes.jsonl"

    def masks(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "masks"

    def left_out_path(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "left_out.json"

    def presences_path(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "presences.jsonl"


def open_folds(
    data: Path | str, fold: str | int = "all", benchmark: str | None = None, folds: str = "interleaved"
) -> dict[int, EpisodeSet]:
    """Return the test classes of one fold (a number) or of "all"; the other arguments are those of `open_episodes`."""
    first_number = next((number for number in range(max(FOLDS.values())) if str(number) == str(fold)), 0)
    first = open_episodes(data, first_number, benchmark, folds)
    numbers = range(1 if first.fold is None else FOLDS[first.benchmark.lower()])
    check_known(str(fold), [*map(str, numbers), "all"], f"fold of {first.benchmark}", DataSetError)
    chosen = numbers if fold == "all" else [first_number]
    return {
        number: first if number == first_number else open_episodes(data, number, benchmark, folds) for number in chosen
    }


def start_run(
    out: Path | str,
    *,
    protocol_name: str,
    data: Path | str,
    model: Mapping[str, Any],
    fold: str | int = "all",
    benchmark: str | None = None,
    fold_convention: str = "interleaved",
    shots: int | None = None,
    ways: int | None = None,
    count: int | None = None,
    seed: int | None = None,
    episodes: Path | str | None = None,
) -> Run:
    """Draw the episodes of each fold and write them with all settings to `out`, or resume the run that is there.

    Args:
        model: what produces the masks, as JSON values.
        fold_convention: of COCO-20i, "interleaved" or "contiguous".
        shots, ways: per episode; 1 when None.
        count, seed: of the episodes; those of the protocol when None.
        episodes: an episode list for one fold, instead of drawing by `shots`, `ways`, `count` and `seed`.

    Raises:
        ArgumentError: an unknown protocol, benchmark or convention, a list beside arguments of drawing, or one list for
            several folds.
        DataSetError: an unknown fold, missing data, or a list that cannot be read.
        RunError: `out` holds a run of other settings, or masks without settings; or a list does not fit the data.
    """
    out = Path(out)
    protocol = find_protocol(protocol_name)
    drawing = {"--shots": shots, "--ways": ways, "--count": count, "--seed": seed}
    given = [option for option, value in drawing.items() if value is not None]
    if episodes is not None and given:
        raise ArgumentError(
            f"{episodes}: an episode list fixes shots, ways, count and seed; leave out --episodes or {', '.join(given)}"
        )
    folds = open_folds(data, fold, benchmark, fold_convention)
    if episodes is not None and len(folds) > 1:
        raise ArgumentError(f"{episodes}: an episode list is for one fold; name it with --fold")
    lists = {
        number: protocol.episodes(dataset, shots or 1, ways or 1, count, seed)
        if episodes is None
        else read_given_list(Path(episodes), dataset)
        for number, dataset in folds.items()
    }
    first = next(iter(lists.values()))[0]
    settings: dict[str, Any] = {
        "protocol": protocol.name,
        "benchmark": benchmark,
        "data": str(Path(data).resolve()),
        "shots": len(first.supports[0]),
        "ways": len(first.classes),
        "count": count,
        "seed": seed,
        "episode list": None if episodes is None else Path(episodes).name,
        "model": dict(model),
        "folds": {
            str(number): {**presence_record(dataset), "episodes": len(lists[number]), "digest": digest(lists[number])}
            for number, dataset in folds.items()
        },
    }
    if fold_convention != "interleaved":
        settings["fold convention"] = fold_convention
    settings = json.loads(json.dumps(settings))
    run = Run(out, settings, folds)
    if (out / "run.json").exists():
        refuse_changes(out, run_settings(out), settings, error=RunError, advice="name another folder with -o")
    else:
        foreign = next((run.masks(number) for number in folds if run.masks(number).exists()), None)
        if foreign is not None:
            raise RunError(f"{foreign}: holds masks of unknown settings (no run.json); name another folder with -o")
        for number, listed in lists.items():
            write_episodes(run.list_path(number), listed)
        write_settings(out / "run.json", {"likewise": __version__, "settings": settings})
    return run


def read_run(folder: Path | str, data: Path | str | None = None) -> Run:
    """Return the run in a folder; `data` is the root of its data set, if that was moved.

    Raises:
        RunError: a folder without a run, or data or episode lists that changed since the run started.
    """
    folder = Path(folder)
    settings = run_settings(folder)
    data = settings["data"] if data is None else data
    convention = settings.get("fold convention", "interleaved")
    folds = {}
    for key, recorded in settings["folds"].items():
        number = int(key)
        dataset = open_folds(data, number, settings["benchmark"], convention)[number]
        found = presence_record(dataset)
        if any(recorded[name] != value for name, value in found.items()):
            raise RunError(
                f"{folder}: the run used {recorded['present']} of {recorded['listed']} entries of {recorded['name']}, "
                f"but {data} holds {found['present']} of {found['listed']} of {found['name']}; give the same data with "
                "--data"
            )
        folds[number] = dataset
    run = Run(folder, settings, folds)
    for number in folds:
        if digest(read_episodes(run.list_path(number))) != settings["folds"][str(number)]["digest"]:
            raise RunError(f"{run.list_path(number)}: differs from the list of the run; start a new run")
    return run


def presence_record(dataset: EpisodeSet) -> dict[str, Any]:
    return {"name": dataset.name, "listed": dataset.presence.listed, "present": len(dataset.entries)}


def run_settings(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"{folder}: holds no run (no run.json); `likewise evaluate predict` starts one")
    advice = "delete the folder and start again"
    record = read_settings(path, error=RunError, advice=advice)
    if not isinstance(record.get("settings"), dict):
        raise RunError(f"{path}: holds no settings; {advice}")
    return record["settings"]


def read_given_list(path: Path, dataset: EpisodeSet) -> list[Episode]:
    episodes = read_episodes(path)
    if not episodes:
        raise RunError(f"{path}: holds no episode")
    for number, episode in enumerate(episodes, start=1):
        if len(episode.supports) != len(episode.classes) or not all(episode.supports):
            raise RunError(f"{path}, line {number}: an episode needs at least one support for each of its classes")
        for name in episode.classes:
            check_known(name, dataset.classes, f"class of {dataset.name}", DataSetError)
        for image in (episode.query, *(image for shots in episode.supports for image in shots)):
            if not dataset.image_path(image).is_file():
                raise RunError(f"{path}, line {number}: {image} of {dataset.name} is not present")
    return episodes


def digest(episodes: Sequence[Episode]) -> str:
    """Return sixteen hexadecimal digits that change with any episode and with their order."""
    return hashlib.sha256(json.dumps([asdict(episode) for episode in episodes]).encode()).hexdigest()[:16]


def write_episodes(path: Path | str, episodes: Iterable[Episode]) -> None:
    """Write an episode list, with "classes", "supports" (for each way), "query" and "seed" on each line."""
    with write_atomically(path) as part:
        part.write_text("".join(json.dumps(asdict(episode)) + "\n" for episode in episodes))


def read_episodes(path: Path | str) -> list[Episode]:
    """Return the episodes in a file of `write_episodes`."""
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
