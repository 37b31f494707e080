"""Scores of a folder of co-saliency maps or scene labels, predicted by any program.

Few-shot episodes are scored by `likewise.evaluate.loops.score`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from likewise.data.groups import GroupSet
from likewise.data.scenes import SceneSet
from likewise.errors import ImageError, PredictionError, check_known, first_of
from likewise.evaluate.results import Part, Results
from likewise.io.images import read_image
from likewise.io.labels import IGNORE
from likewise.io.masks import read_labels
from likewise.io.opening import format_size
from likewise.io.paths import OUTPUT_SUFFIXES
from likewise.metrics.saliency import MODES, CoSegmentation, Saliency
from likewise.metrics.scenes import SceneIoU

GROUP_MODES = (*MODES, CoSegmentation.protocol)
"""The modes of `score_groups`."""


def score_groups(predictions: Path | str, groups: GroupSet, mode: str = "pysodmetrics") -> Results:
    """Return the scores of a folder of maps, black to white in 8 or 16 bits, against the masks of the groups.

    Each image has one map: `<group>/<image>.png`, or `<image>.probability.png` or `<image>.mask.png` as `likewise
    saliency` and `likewise cosegment` write it.

    Args:
        mode: "pysodmetrics" or "icnet-224" (`likewise.metrics.saliency.Saliency`), or "co-segmentation" (Jaccard index
            and precision).

    Raises:
        ArgumentError: an unknown mode.
        PredictionError: a map that is missing, unreadable or of another size than its mask, or several for one image.
    """
    check_known(mode, GROUP_MODES, "mode of scoring groups")
    predictions = Path(predictions)
    names = {
        (group, image): map_name(predictions, f"{group}/{image}")
        for group, images in groups.groups.items()
        for image in images
    }
    require_files(predictions, list(names.values()), groups.name)
    saliency = None if mode == CoSegmentation.protocol else Saliency(mode)
    cosegmentation = CoSegmentation()
    for (group, image), name in names.items():
        target = groups.read_mask(group, image)
        prediction = read_prediction(predictions / name, target.shape, read_grey_map)
        if saliency is None:
            cosegmentation.update(prediction, target, group)
        else:
            saliency.update(prediction, target)
    scores = (saliency or cosegmentation).compute()
    settings = {"data": groups.name, "predictions": str(predictions.resolve())}
    return Results(mode, (Part(groups.name, groups.presence, scores),), settings)


def score_scenes(predictions: Path | str, scenes: SceneSet, inference: str = "not stated") -> Results:
    """Return the scores of a folder of label PNGs with class indices from 0, against the scenes.

    Files are named `<image>.png`, or `<image>.labels.png` as `likewise parse` writes them. `inference` states how they
    were predicted, for the record: "single-scale", ...
    """
    predictions, parse_ending = Path(predictions), OUTPUT_SUFFIXES["labels"]
    from_parse = any((predictions / f"{scene.image.stem}{parse_ending}").is_file() for scene in scenes.scenes)
    ending = parse_ending if from_parse else ".png"
    require_files(predictions, [f"{scene.image.stem}{ending}" for scene in scenes.scenes], scenes.name)
    metric = SceneIoU(scenes.classes)
    for scene in scenes.scenes:
        target = scenes.read_labels(scene.labels)
        path = predictions / f"{scene.image.stem}{ending}"
        metric.update(read_prediction(path, target.shape, read_labels, labels=len(scenes.classes)), target)
    settings = {"data": scenes.name, "predictions": str(predictions.resolve()), "inference": inference}
    return Results(metric.protocol, (Part(scenes.name, scenes.presence, metric.compute()),), settings)


MAP_ENDINGS = (".png", OUTPUT_SUFFIXES["probability"], OUTPUT_SUFFIXES["mask"])
"""Endings of the file that holds the map of an image: the plain name, and those of `saliency` and `cosegment`."""


def map_name(folder: Path, image: str) -> str:
    """Return the file name of an image's map in a folder; `<image>.png` if it has none."""
    present = [f"{image}{ending}" for ending in MAP_ENDINGS if (folder / f"{image}{ending}").is_file()]
    if len(present) > 1:
        raise PredictionError(f"{folder}: {image} has several maps, {' and '.join(present)}; move all but one away")
    return present[0] if present else f"{image}{MAP_ENDINGS[0]}"


def require_files(folder: Path, names: Sequence[str], dataset: str) -> None:
    """Raise `PredictionError` with the first missing names unless every file is in the folder."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        listed = first_of(missing, 5, " and {more} more")
        raise PredictionError(
            f"{folder}: {len(missing)} of {len(names)} predictions for {dataset} are missing: {listed}; scoring needs "
            "all of them"
        )


def read_prediction(
    path: Path, size: tuple[int, ...], read: Callable[[Path], np.ndarray], labels: int = IGNORE + 1
) -> UInt8[np.ndarray, "h w"]:
    """Return the prediction in a file."""
    try:
        prediction = read(path)
    except ImageError as error:
        raise PredictionError(f"cannot read a prediction: {error}") from error
    if prediction.shape != size:
        raise PredictionError(
            f"{path}: is {format_size(*prediction.shape)}, its target {format_size(size[0], size[1])}; write "
            "predictions at the size of their target"
        )
    if int(prediction.max()) >= labels:
        raise PredictionError(f"{path}: holds label {prediction.max()}; labels are 0 to {labels - 1}")
    return prediction.astype(np.uint8)


def read_grey_map(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return a grey map, black 0 and white 255; 16-bit PNGs are scaled by 65535, not by their brightest pixel."""
    values = read_image(path)[..., 0]
    with Image.open(path) as image:
        if image.format == "PNG" and image.mode in ("I;16", "I"):
            values = np.rint(np.asarray(ImageOps.exif_transpose(image)) / 257).astype(np.uint8)
    return values
