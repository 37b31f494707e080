"""Public benchmarks by name, opened from the root of their download."""

from pathlib import Path

from likewise.data.class_folders import class_folders, fss1000
from likewise.data.coco import FOLD_CONVENTIONS, coco20i
from likewise.data.episodes import EpisodeSet
from likewise.data.pascal import pascal5i
from likewise.data.scene_benchmarks import (
    ade20k_scenes,
    camvid_scenes,
    cityscapes_scenes,
    cocostuff10k_scenes,
    lip_scenes,
    voc_scenes,
)
from likewise.data.scenes import SceneSet
from likewise.errors import ArgumentError, DataSetError, check_known

FOLDS = {"pascal-5i": 4, "coco-20i": 4, "fss-1000": 1, "class-folders": 1}
"""Number of folds of each few-shot benchmark; `open_episodes` tries them on a root in this order."""

SCENES = {
    "voc": voc_scenes,
    "ade20k": ade20k_scenes,
    "cityscapes": cityscapes_scenes,
    "coco-stuff-10k": cocostuff10k_scenes,
    "lip": lip_scenes,
    "camvid": camvid_scenes,
}
"""Loader of each scene benchmark."""


def open_episodes(
    root: Path | str, fold: int = 0, benchmark: str | None = None, folds: str = "interleaved"
) -> EpisodeSet:
    """Return the test classes of one fold of a few-shot benchmark.

    Args:
        benchmark: a name of `FOLDS`; None takes the first one whose files `root` holds.
        folds: fold convention of COCO-20i, "interleaved" or "contiguous" (see `coco20i`).

    Raises:
        ArgumentError: an unknown benchmark or convention, or contiguous folds of a benchmark other than COCO-20i.
        DataSetError: an unknown fold, or a root without the files; the message says which files each loader needs.
    """
    check_known(folds, FOLD_CONVENTIONS, "fold convention")
    if benchmark is not None:
        check_known(benchmark, FOLDS, "few-shot benchmark")
        check_known(fold, range(FOLDS[benchmark]), f"fold of {benchmark}", DataSetError)
        if folds != "interleaved" and benchmark != "coco-20i":
            raise ArgumentError(f"{benchmark} has one fold convention; only coco-20i has {folds} folds")
        if benchmark == "pascal-5i":
            return pascal5i(root, fold)
        if benchmark == "coco-20i":
            return coco20i(root, fold, folds=folds)
        return fss1000(root) if benchmark == "fss-1000" else class_folders(root)
    reasons = []
    for name in FOLDS:
        if folds != "interleaved" and name != "coco-20i":
            continue
        try:
            return open_episodes(root, fold, name, folds)
        except DataSetError as error:
            reasons.append(str(error))
    raise DataSetError("no few-shot benchmark was found:\n" + "\n".join(f"- {reason}" for reason in reasons))


def open_scenes(root: Path | str, benchmark: str, split: str | None = None) -> SceneSet:
    """Return the scenes of a benchmark of `SCENES`; `split` None is its test split.

    Raises:
        ArgumentError: an unknown benchmark.
        DataSetError: an unknown split, or a root without the files.
    """
    check_known(benchmark, SCENES, "scene benchmark")
    return SCENES[benchmark](root) if split is None else SCENES[benchmark](root, split)
