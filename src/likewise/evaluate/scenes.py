"""Scene parsing on a benchmark: images are parsed to a folder, at a single scale and at several scales, and scored."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from likewise.data.scenes import SceneSet
from likewise.errors import PredictionError, counted, first_of
from likewise.evaluate.results import Part, Results
from likewise.evaluate.scoring import score_scenes
from likewise.io.paths import ImageFile
from likewise.jobs.parse import parse_folder
from likewise.predict.scene_parser import WINDOW, SceneParser

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Image sizes of the multi-scale score usual for scene parsing, as factors; each is used with mirroring too."""


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
    """Return the scores of a scene model at a single scale, and at `scales` with mirroring unless `scales` is empty.

    Labels are written to `out`/single-scale and `out`/multi-scale; a second call with the same settings reuses them.
    `side`, `window` and `device` are as for `SceneParser`; `progress` gets the finished and all images of both
    inferences.

    Raises:
        OutputError: `out` holds labels of other settings.
        PredictionError: the model was trained on other classes, or an image cannot be parsed.
    """
    inferences: dict[str, tuple[tuple[float, ...], bool]] = {"single-scale": ((1.0,), False)}
    if scales:
        inferences["multi-scale and mirror"] = tuple(scales), True
    images = [ImageFile(scene.image, scene.image.name) for scene in scenes.scenes]
    total = len(inferences) * len(images)
    parts: list[Part] = []
    for index, (inference, (factors, mirror)) in enumerate(inferences.items()):
        parser = SceneParser(model, side=side, scales=factors, mirror=mirror, window=window, device=device)
        check_classes(parser, scenes)
        folder = Path(out) / inference.split(" ")[0]

        def report_progress(done: int, _: int, earlier: int = index * len(images)) -> None:
            if progress:
                progress(earlier + done, total)

        report = parse_folder(images, folder, parser=parser, formats=("labels",), progress=report_progress)
        if report.failed:
            path, reason = report.failed[0]
            raise PredictionError(
                f"{counted(len(report.failed), 'image')} of {scenes.name} cannot be parsed: {path}: {reason}"
            )
        results = score_scenes(folder, scenes, inference)
        parts.append(replace(results.parts[0], name=inference))
    settings = {
        "run": str(model),
        "weights": parser.fingerprint,
        "data": scenes.name,
        "side": parser.side,
        "window": window,
        "scales": list(scales),
    }
    return replace(results, parts=tuple(parts), settings=settings)


def check_classes(parser: SceneParser, scenes: SceneSet) -> None:
    """Raise `PredictionError` unless the model was trained on the classes of the scenes in the same order."""
    if parser.classes != scenes.classes:
        raise PredictionError(
            f"{parser.model_name} was trained on {len(parser.classes)} classes ({first_of(parser.classes)}), "
            f"{scenes.name} has {len(scenes.classes)} ({first_of(scenes.classes)}); a score needs the same classes in "
            "the same order"
        )
