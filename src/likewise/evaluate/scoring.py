"""Scores of a folder of co-saliency maps or scene labels, predicted by any program.

Few-shot episodes are scored by `likewise.evaluate.loops.score`.
"""

from pathlib import Path

from likewise.data.groups import GroupSet
from likewise.data.scenes import SceneSet
from likewise.errors import check_known
from likewise.evaluate.predictions import map_name, read_grey_map, read_prediction, require_files
from likewise.evaluate.results import Part, Results
from likewise.io.masks import read_labels
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

    Files are named `<image>.png`, or `<image>.labels.png` as `likewise parse` writes them.

    Args:
        inference: how the labels were predicted, for the record: "single-scale", "multi-scale and mirror", ...

    Raises:
        PredictionError: labels that are missing, unreadable, of another size than their target, or of no class.
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
