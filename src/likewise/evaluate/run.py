"""A run: the folder between predicting and scoring, its episode lists, and the settings that made it.

    data, protocol --> start_run --> RUN/run.json, RUN/fold0/episodes.jsonl, ... --> read_run

A run is taken up again only with the settings that it began with.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from likewise import __version__
from likewise.data.benchmarks import FOLDS, open_episodes
from likewise.data.episodes import Episode, EpisodeSet
from likewise.errors import DataSetError, RunError, check_known
from likewise.evaluate.protocols import Protocol, protocol, read_episodes, write_episodes
from likewise.io.atomic import write_atomically
from likewise.io.settings import refuse_changes


@dataclass(frozen=True)
class Run:
    """A folder of episode lists and masks, and what they are of.

    Attributes:
        folder: holds `run.json`, and for each fold `episodes.jsonl` and `masks/`.
        settings: everything that the masks depend on, as it stands in `run.json`.
        folds: the data of each fold.
    """

    folder: Path
    settings: dict[str, Any]
    folds: dict[int, EpisodeSet]

    @property
    def protocol(self) -> Protocol:
        return protocol(self.settings["protocol"])

    @property
    def episode_count(self) -> int:
        """Of all folds together."""
        return sum(told["episodes"] for told in self.settings["folds"].values())

    def list_path(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "episodes.jsonl"

    def masks(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "masks"

    def left_out_path(self, fold: int) -> Path:
        return self.folder / f"fold{fold}" / "left_out.json"


def open_folds(
    data: Path | str, fold: str | int = "all", benchmark: str | None = None, folds: str = "interleaved"
) -> dict[int, EpisodeSet]:
    """The test classes of one fold or "all" of a benchmark of episodes; without a name, of the first that `data` holds.

    `folds` is the convention of COCO-20i, as `open_episodes` takes it.

    Raises `DataSetError` for an unknown fold, benchmark or convention, and for a root that holds none.
    """
    asked = next((number for number in range(max(FOLDS.values())) if str(number) == str(fold)), 0)
    first = open_episodes(data, asked, benchmark, folds)
    numbers = range(1 if first.fold is None else FOLDS[first.benchmark.lower()])
    check_known(str(fold), [*map(str, numbers), "all"], f"fold of {first.benchmark}", DataSetError)
    chosen = numbers if fold == "all" else [asked]
    return {number: first if number == asked else open_episodes(data, number, benchmark, folds) for number in chosen}


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
    """Draw the episodes of each fold and write them with all settings to `out`; or take up the same run again.

    Args:
        model: what makes the masks, in values that JSON can hold.
        fold_convention: of COCO-20i, "interleaved" or "contiguous".
        shots, ways: as `Protocol.episodes` takes them; 1 when None.
        count, seed: likewise; the protocol's own when None.
        episodes: a list to take, for one fold, instead of drawing by `shots`, `ways`, `count` and `seed`.

    Raises:
        RunError: `out` holds a run of other settings, the message names what differs; or both a list and what only
            matters to drawing one are given.
        DataSetError: an unknown protocol, fold, benchmark or convention, or data that are not there.
    """
    out = Path(out)
    chosen = protocol(protocol_name)
    drawing = {"--shots": shots, "--ways": ways, "--count": count, "--seed": seed}
    drawn_by = [option for option, value in drawing.items() if value is not None]
    if episodes is not None and drawn_by:
        raise RunError(
            f"{episodes}: an episode list has its own shots, ways, count and seed; leave out --episodes or "
            f"{', '.join(drawn_by)}"
        )
    folds = open_folds(data, fold, benchmark, fold_convention)
    if episodes is not None and len(folds) > 1:
        raise RunError(f"{episodes}: one episode list is for one fold; name it with --fold")
    lists = {
        number: chosen.episodes(dataset, shots or 1, ways or 1, count, seed)
        if episodes is None
        else checked_list(Path(episodes), dataset)
        for number, dataset in folds.items()
    }
    first = next(iter(lists.values()))[0]
    settings: dict[str, Any] = {
        "protocol": chosen.name,
        "benchmark": benchmark,
        "data": str(Path(data).resolve()),
        "shots": len(first.supports[0]),
        "ways": len(first.classes),
        "count": count,
        "seed": seed,
        "episode list": None if episodes is None else Path(episodes).name,
        "model": dict(model),
        "folds": {
            str(number): {
                "name": dataset.name,
                "listed": dataset.presence.listed,
                "present": len(dataset.entries),
                "episodes": len(lists[number]),
                "digest": digest(lists[number]),
            }
            for number, dataset in folds.items()
        },
    }
    if fold_convention != "interleaved":
        settings["fold convention"] = fold_convention
    settings = json.loads(json.dumps(settings))
    run = Run(out, settings, folds)
    if (out / "run.json").exists():
        refuse_changes(out, read_settings(out), settings, error=RunError, advice="name another folder with -o")
    else:
        strange = next((run.masks(number) for number in folds if run.masks(number).exists()), None)
        if strange is not None:
            raise RunError(f"{strange}: exists, but {out} holds no run.json to say what is in it; name another folder")
        for number, listed in lists.items():
            write_episodes(run.list_path(number), listed)
        with write_atomically(out / "run.json") as part:
            part.write_text(json.dumps({"likewise": __version__, "settings": settings}, indent=1) + "\n")
    return run


def read_run(folder: Path | str, data: Path | str | None = None) -> Run:
    """The run in a folder; `data` is where its data set is now, if it was moved.

    Raises `RunError` for a folder that holds no run, and for data or episode lists that are not those of the run.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    data = settings["data"] if data is None else data
    folds = {}
    convention = settings.get("fold convention", "interleaved")
    for number, told in settings["folds"].items():
        dataset = open_folds(data, int(number), settings["benchmark"], convention)[int(number)]
        presence = (dataset.name, dataset.presence.listed, len(dataset.entries))
        if presence != (told["name"], told["listed"], told["present"]):
            raise RunError(
                f"{folder}: was made on {told['present']} of {told['listed']} entries of {told['name']}, but {data} "
                f"holds {presence[2]} of {presence[1]} of {presence[0]}; give the same data with --data"
            )
        folds[int(number)] = dataset
    run = Run(folder, settings, folds)
    for number, told in settings["folds"].items():
        if digest(read_episodes(run.list_path(int(number)))) != told["digest"]:
            raise RunError(f"{run.list_path(int(number))}: is not the list that the run began with; start a new run")
    return run


def checked_list(path: Path, dataset: EpisodeSet) -> list[Episode]:
    """A given episode list; raises `RunError` for images or classes that the data set does not have."""
    episodes = read_episodes(path)
    if not episodes:
        raise RunError(f"{path}: holds no episode")
    for number, episode in enumerate(episodes, start=1):
        if len(episode.supports) != len(episode.classes) or not all(episode.supports):
            raise RunError(f"{path}, line {number}: an episode needs one or more supports for each of its classes")
        for name in episode.classes:
            check_known(name, dataset.classes, f"class of {dataset.name}", DataSetError)
        for image in (episode.query, *(image for shots in episode.supports for image in shots)):
            if not dataset.image_path(image).is_file():
                raise RunError(f"{path}, line {number}: {image} of {dataset.name} is not present")
    return episodes


def digest(episodes: Sequence[Episode]) -> str:
    """Sixteen hexadecimal digits that change with any episode or their order."""
    return hashlib.sha256(json.dumps([asdict(episode) for episode in episodes]).encode()).hexdigest()[:16]


def read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        return json.loads(path.read_text())["settings"]
    except FileNotFoundError:
        raise RunError(f"{folder}: holds no run (no run.json); `likewise evaluate predict` makes one") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: is damaged ({error!r}); delete the folder and start again") from error
