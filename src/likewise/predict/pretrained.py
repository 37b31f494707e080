"""A few-shot model as a folder, for the hub and for colleagues: `FewShot.save_pretrained` and `from_pretrained`.

- config.json: the arguments of `FewShot` that determine its results, and the fingerprint of its weights.
- README.md: a model card, made from the record of the weights.
- model, weights, world: copies of files that the arguments name. Bundled models and timm's backbones are not copied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml
from safetensors import SafetensorError, safe_open

from likewise.errors import ArgumentError, HubError, WeightsError
from likewise.io.atomic import write_atomically
from likewise.io.hub import PREFIX, download_folder, inner_file, parse_repository, upload
from likewise.version import __version__
from likewise.weights.exported import CARD
from likewise.weights.names import MODELS

if TYPE_CHECKING:
    from likewise.predict.concept import Concept
    from likewise.predict.few_shot import FewShot

CONFIG = "config.json"
FORMAT = 1
"""Version of `CONFIG`; later ones are refused."""
FILES = ("model", "weights", "world")
"""Arguments of `FewShot` that may name a file."""
SETTINGS = {
    "backbone": str, "taps": list, "side": int, "edges": bool, "presence": float, "as_published": bool
}  # fmt: skip
"""Its other arguments in `CONFIG`, with their types."""
CARD_HEAD = {"library_name": "likewise", "pipeline_tag": "image-segmentation"}


def save_folder(few_shot: FewShot, folder: Path, *, repository: str | None = None) -> None:
    """Write the files of the module's docstring.

    Args:
        repository: name on the hub, for the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"likewise": "few-shot", "format": FORMAT, "version": __version__}
    for argument in FILES:
        value = few_shot.arguments[argument]
        if value is None or (argument == "model" and str(value) in MODELS):
            config[argument] = value
        else:
            config[argument] = _copied(Path(value), folder, argument)
    own = {name: getattr(few_shot, name) for name in ("side", "edges", "presence", "quality", "fingerprint")}
    config |= few_shot.arguments | config | own
    card = model_card(few_shot, repository or str(folder))
    for name, text in ((CONFIG, json.dumps(config, indent=1)), ("README.md", card)):
        with write_atomically(folder / name) as part:
            part.write_text(text + "\n", encoding="utf-8")


def push_folder(few_shot: FewShot, repository: str, *, message: str, **options: Any) -> str:
    """Upload what `save_folder` writes, and return the address of the commit; see `FewShot.push_to_hub`."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_folder(few_shot, folder, repository=repository)
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8")
        card.unlink()
        return upload(folder, repository, card=text, message=message, **options)


def open_folder(
    opens: type[FewShot],
    source: str | Path,
    options: Mapping[str, Any],
    *,
    revision: str | None,
    token: str | None,
    local_files_only: bool,
) -> FewShot:
    """Return the model in a folder of `save_folder`, or in a repository with its files; see `from_pretrained`."""
    folder = Path(source)
    if not folder.is_dir():
        folder = download_folder(str(source), revision=revision, token=token, local_files_only=local_files_only)
    config = _read_config(folder, str(source))
    arguments = {name: config[name] for name in SETTINGS} | {"quality": config.get("quality")}
    for argument in FILES:
        value = config[argument]
        named = argument == "model" and value in MODELS
        arguments[argument] = value if value is None or named else inner_file(folder, value)
    few_shot = opens(**(arguments | dict(options)))
    if few_shot.fingerprint != config["fingerprint"]:
        raise WeightsError(
            f"{source}: states weights {config['fingerprint']}, but {few_shot.model_name} has {few_shot.fingerprint} "
            f"here; it was saved by likewise {config.get('version')}, this is {__version__}: save it again"
        )
    return few_shot


def is_saved(model: str) -> bool:
    """Return whether a text is ``hf://owner/name``, or a folder of `save_folder`."""
    return model.startswith(PREFIX) or (Path(model) / CONFIG).is_file()


def open_saved(opens: type[FewShot], model: str, options: Mapping[str, Any]) -> FewShot:
    """Return the model of a text that `is_saved`; see `FewShot.from_pretrained`.

    Raises:
        ArgumentError: a backbone, taps or weights among the options, or an address that names no repository.
    """
    own = {"backbone": "backbone", "taps": "backbone", "weights": "weights"}
    if foreign := [own[name] for name in options if name in own]:
        raise ArgumentError(f"{model} comes with its own {foreign[0]}; leave --{foreign[0]} out")
    if not model.startswith(PREFIX):
        return opens.from_pretrained(model, **options)
    repository, revision = parse_repository(model)
    return opens.from_pretrained(repository, revision=revision, **options)


def _read_config(folder: Path, source: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config["likewise"] != "few-shot" or config["format"] > FORMAT:
            raise HubError(f"{source}: format {config['format']} of {config['likewise']!r} is unknown; update likewise")
        types = {name: (type(config[name]), kind) for name, kind in SETTINGS.items()}
        texts = {name: config[name] for name in (*FILES, "fingerprint")} | {"quality": config.get("quality")}
        types |= {name: (type(value), str) for name, value in texts.items() if value is not None}
        wrong = [name for name, (found, needed) in types.items() if found is not needed]
        if wrong or config["model"] is None or any(type(tap) is not str for tap in config["taps"]):
            raise TypeError(wrong or "model")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        if isinstance(error, HubError):
            raise
        raise HubError(
            f"{source}: has no readable {CONFIG} of likewise ({error!r}); FewShot.save_pretrained writes one"
        ) from error
    return config


def _copied(path: Path, folder: Path, name: str) -> str:
    """Copy an exported model's folder, the weights of a training run or a file; return its name in `folder`."""
    if path.is_dir() and not (path / CARD).is_file():
        path = path / "weights.safetensors"
    target = folder / f"{name}{path.suffix if path.is_file() else ''}"
    if path.resolve() == target.resolve():
        raise ArgumentError(f"{target}: is where the model was opened from; save it to another folder")
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(path, target)
    return target.name


def record_of(few_shot: FewShot) -> dict[str, Any]:
    """Return what is known of the weights: the record of a bundled model, or the recipe of a training run."""
    model, weights = few_shot.arguments["model"], few_shot.arguments["weights"]
    entry = MODELS.get(str(model))
    file = weights if weights is not None else entry.file if entry else model
    if entry and weights is None:
        return json.loads(entry.file.with_suffix(".json").read_text(encoding="utf-8")) if entry.file else {}
    path = Path(str(file))
    try:
        with safe_open(path / "weights.safetensors" if path.is_dir() else path, framework="numpy") as opened:
            return {"recipe": json.loads((opened.metadata() or {}).get("recipe", "{}"))}
    except (SafetensorError, OSError, ValueError):
        return {}


def model_card(few_shot: FewShot, name: str) -> str:
    """Return a README.md: how to use the model, its settings, the licence and the record of its weights."""
    record = record_of(few_shot)
    head = yaml.safe_dump(CARD_HEAD | {"license": "other", "tags": ["likewise", "few-shot-segmentation"]})
    settings = few_shot.settings | {"edges": few_shot.edges, "likewise": __version__}
    licence = record.get("licence") or "Not stated. The terms of the training data and of the starting weights apply."
    if not record and few_shot.arguments["weights"] is None:
        licence = f"That of the backbone {few_shot.backbone_name.partition('@')[0]}, whose weights are not copied here."
    lines = [
        f"---\n{head}---\n\n# {name}\n",
        record.get("description") or f"A few-shot segmentation model, {few_shot.model_name}, of likewise.",
        "\n```python\nfrom likewise import Example, FewShot\n",
        f'few_shot = FewShot.from_pretrained("{name}")',
        'concept = few_shot.learn([Example("cat.jpg", mask="cat.png")])',
        'few_shot.segment("another.jpg", concept).mask\n```\n',
        "| Setting | Value |\n|---|---|",
        *(f"| {key} | {value} |" for key, value in settings.items()),
        f"\n## Licence\n\n{licence}",
    ]
    for title in ("licences of the training material", "numbers", "recipe"):
        if record.get(title):
            lines.append(f"\n## {title.capitalize()}\n\n```yaml\n{yaml.safe_dump(record[title], sort_keys=False)}```")
    return "\n".join(lines)


def concept_card(concept: Concept, file: str, repository: str) -> str:
    """Return a README.md for a repository that holds a concept."""
    head = yaml.safe_dump(CARD_HEAD | {"tags": ["likewise", "likewise-concept"]})
    return (
        f"---\n{head}---\n\n# {repository}\n\n`{file}`: {concept}.\n\n"
        f"    likewise segment photos/ --like hf://{repository}/{file} -o masks/\n\n"
        "The file holds the names of its examples' images, and thumbnails of 96 pixels."
    )
