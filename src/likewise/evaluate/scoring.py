"""Scores of a folder of predictions, from whatever program: co-saliency maps and scene labels; and what scores are.

Few-shot episodes are scored by `loops`. A prediction that is missing, has another size than its target or
holds an impossible label is an error that names it: nothing is skipped and nothing resized.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from likewise.data.episodes import Episode
from likewise.data.groups import GroupSet
from likewise.data.layout import Presence
from likewise.data.scenes import SceneSet
from likewise.errors import ImageError, PredictionError, check_known
from likewise.io.images import format_size, read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.jobs.writers import WRITERS
from likewise.metrics.saliency import MODES, CoSegmentation, Saliency
from likewise.metrics.scenes import SceneIoU
from likewise.metrics.scores import Scores

GROUP_MODES = (*MODES, CoSegmentation.protocol)
NAMED = 5
PARSED = WRITERS["labels"][0]
MAP_ENDINGS = (".png", WRITERS["probability"][0], WRITERS["mask"][0])


@dataclass(frozen=True)
class EpisodeScore:
    """The IoU of one episode, mean over the ways that its target shows, and the mask that it is of.

    `line` is its place in the episode list, from 0.
    """

    fold: int
    line: int
    episode: Episode
    mask: Path
    iou: float


@dataclass(frozen=True)
class Part:
    """The scores of one fold or set, and how much of it is on disk and was counted.

    Attributes:
        left_out: episodes that were not scored, by line, and why.
        queries: how many query images of each class were scored, where there are queries.
    """

    name: str
    presence: Presence
    scores: Scores
    left_out: dict[int, str] = field(default_factory=dict)
    queries: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Scores of one or several folds under one protocol.

    Attributes:
        settings: what was predicted, on what.
        mean: over the folds, where there are several.
        interval_note: whose intervals these are.
        episodes: the IoU of every episode whose target shows any of its classes.
    """

    protocol: str
    parts: tuple[Part, ...]
    settings: dict[str, Any]
    mean: Scores | None = None
    interval_note: str = ""
    episodes: tuple[EpisodeScore, ...] = ()


def score_groups(predictions: Path | str, groups: GroupSet, mode: str = "pysodmetrics") -> Results:
    """Scores of a folder of maps, black to white in 8 or 16 bits, against the masks of a set of groups.

    A map is `<group>/<image>.png`, or as `likewise saliency` and `likewise cosegment` write it,
    `<image>.probability.png` or `<image>.mask.png`: one of these for each image.

    Args:
        mode: "pysodmetrics" or "icnet-224" (`likewise.metrics.saliency.Saliency`), or "co-segmentation" (Jaccard index
            and precision).

    Raises `PredictionError` for predictions that are missing, there under several names, of another size than their
    mask, or cannot be read.
    """
    check_known(mode, GROUP_MODES, "mode of scoring groups")
    predictions = Path(predictions)
    names = {
        (group, image): map_name(predictions, f"{group}/{image}")
        for group, images in groups.groups.items()
        for image in images
    }
    refuse_missing(predictions, list(names.values()), groups.name)
    saliency = None if mode == CoSegmentation.protocol else Saliency(mode)
    cosegmentation = CoSegmentation()
    for (group, image), name in names.items():
        target = groups.read_mask(group, image)
        prediction = read_prediction(predictions / name, target.shape, read_grey)
        if saliency is None:
            cosegmentation.update(prediction, target, group)
        else:
            saliency.update(prediction, target)
    scores = (saliency or cosegmentation).compute()
    settings = {"data": groups.name, "predictions": str(predictions.resolve())}
    return Results(mode, (Part(groups.name, groups.presence, scores),), settings)


def score_scenes(predictions: Path | str, scenes: SceneSet, inference: str = "not stated") -> Results:
    """Scores of a folder of label PNGs with class indices from 0, against a set of scenes.

    They are named `<image>.png`, or `<image>.labels.png` as `likewise parse` does.

    Args:
        inference: how they were predicted, for the record: "single-scale", "multi-scale and mirror", ...

    Raises `PredictionError` for predictions that are missing, of another size than their labels, with a label that is
    no class, or that cannot be read.
    """
    predictions = Path(predictions)
    parsed = any((predictions / f"{scene.image.stem}{PARSED}").is_file() for scene in scenes.scenes)
    suffix = PARSED if parsed else ".png"
    refuse_missing(predictions, [f"{scene.image.stem}{suffix}" for scene in scenes.scenes], scenes.name)
    metric = SceneIoU(scenes.classes)
    for scene in scenes.scenes:
        target = scenes.read_labels(scene.labels)
        path = predictions / f"{scene.image.stem}{suffix}"
        prediction = read_prediction(path, target.shape, read_labels, labels=len(scenes.classes))
        metric.update(prediction, target)
    settings = {"data": scenes.name, "predictions": str(predictions.resolve()), "inference": inference}
    return Results(metric.protocol, (Part(scenes.name, scenes.presence, metric.compute()),), settings)


def map_name(folder: Path, image: str) -> str:
    """The name in the folder of an image's map, `<image>.png` if there is none.

    Raises `PredictionError` if there are several.
    """
    there = [f"{image}{ending}" for ending in MAP_ENDINGS if (folder / f"{image}{ending}").is_file()]
    if len(there) > 1:
        raise PredictionError(
            f"{folder}: holds {' and '.join(there)}, and only one can be the map of {image}; move the others away"
        )
    return there[0] if there else f"{image}{MAP_ENDINGS[0]}"


def refuse_missing(folder: Path, names: Sequence[str], what: str) -> None:
    """Raise `PredictionError` with the first few of the names that are not in the folder."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
        raise PredictionError(
            f"{folder}: {len(missing)} of {len(names)} predictions for {what} are missing: {shown}; "
            "all are needed, so finish predicting first"
        )


def read_prediction(
    path: Path, size: tuple[int, ...], read: Callable[[Path], np.ndarray], labels: int = IGNORE + 1
) -> UInt8[np.ndarray, "h w"]:
    """The prediction in a file; raises `PredictionError` unless it has that (h, w) and only labels below `labels`."""
    try:
        prediction = read(path)
    except ImageError as error:
        raise PredictionError(f"no prediction to score: {error}") from error
    if prediction.shape != size:
        raise PredictionError(
            f"{path}: is {format_size(*prediction.shape)}, its target is {format_size(size[0], size[1])}; "
            "predictions are scored as they are, so write them at that size"
        )
    if int(prediction.max()) >= labels:
        raise PredictionError(f"{path}: holds label {prediction.max()}; labels go from 0 to {labels - 1}")
    return prediction.astype(np.uint8)


def read_grey(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A grey map, black 0 and white 255; a PNG of 16 bits by its own scale, 65535, however faint it is."""
    values = read_image(path)[..., 0]
    with Image.open(path) as image:
        if image.format == "PNG" and image.mode in ("I;16", "I"):
            values = np.rint(np.asarray(ImageOps.exif_transpose(image)) / 257).astype(np.uint8)
    return values
