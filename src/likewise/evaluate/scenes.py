"""A model on the scenes of a benchmark: parsed to a folder, once at a single scale and once at several, and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from likewise.data.scenes import SceneSet
from likewise.errors import PredictionError
from likewise.evaluate.scoring import Part, Results, score_scenes
from likewise.io.paths import ImageFile
from likewise.jobs.folder import segment_folder
from likewise.predict.scene_parser import WINDOW, SceneParser

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""The scales of the field's multi-scale scores, each with its mirror image."""


def evaluate_scenes(
    model: str | Path,
    scenes: SceneSet,
    out: Path | str,
    *,
    scales: Sequence[float] = SCALES,
    side: int | None = None,
    window: int = WINDOW,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Scores of a run at a single scale, and at `scales` with mirror images unless there are none.

    The labels go to `out`/single-scale and `out`/multi-scale and stay there: a second call with the same settings
    finds them, one with others is refused.

    Args:
        side, window, device: as `SceneParser` takes them.
        progress: told how many images are settled, of how many, over both.

    Raises:
        OutputError: `out` holds the labels of other settings.
        PredictionError: the model was trained on other classes, or an image cannot be parsed.
    """
    kinds: dict[str, tuple[tuple[float, ...], bool]] = {"single-scale": ((1.0,), False)}
    if scales:
        kinds["multi-scale and mirror"] = tuple(scales), True
    images = [ImageFile(scene.image, scene.image.name) for scene in scenes.scenes]
    parts: list[Part] = []
    for index, (kind, (own, mirror)) in enumerate(kinds.items()):
        parser = SceneParser(model, side=side, scales=own, mirror=mirror, window=window, device=device)
        check_model(parser, scenes)
        folder = Path(out) / kind.split(" ")[0]
        before = index * len(images)
        report = segment_folder(
            images,
            parser.parse,
            folder,
            formats=("labels",),
            classes=parser.classes,
            settings=parser.settings,
            progress=progress and (lambda done, of, told=progress, start=before: told(start + done, of * len(kinds))),
        )
        if report.failed:
            path, reason = report.failed[0]
            raise PredictionError(f"{len(report.failed)} images of {scenes.name} cannot be parsed: {path}: {reason}")
        results = score_scenes(folder, scenes, kind)
        parts.append(replace(results.parts[0], name=kind))
    settings = {
        "run": str(model),
        "weights": parser.fingerprint,
        "data": scenes.name,
        "side": parser.side,
        "window": window,
        "scales": list(scales),
    }
    return replace(results, parts=tuple(parts), settings=settings)


def check_model(parser: SceneParser, scenes: SceneSet) -> None:
    """Raise a `PredictionError` unless the model was trained on these classes in this order."""
    if parser.classes != scenes.classes:
        raise PredictionError(
            f"{parser.model_name} was trained on {len(parser.classes)} classes ({shown(parser.classes)}), "
            f"{scenes.name} has {len(scenes.classes)} ({shown(scenes.classes)}); a score needs the same ones in the "
            "same order"
        )


def shown(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
