"""Data sets as indices: episodes of classes, groups that share an object, fully labelled scenes."""

from pathlib import Path

from likewise.data.class_folders import class_folders, fss1000
from likewise.data.coco import FOLD_CONVENTIONS, coco20i
from likewise.data.episodes import EpisodeSet
from likewise.data.layout import known
from likewise.data.pascal import pascal5i
from likewise.data.scenes import (
    SceneSet,
    ade20k_scenes,
    camvid_scenes,
    cityscapes_scenes,
    cocostuff10k_scenes,
    lip_scenes,
    voc_scenes,
)
from likewise.errors import DataSetError

FOLDS = {"pascal-5i": 4, "coco-20i": 4, "fss-1000": 1, "class-folders": 1}
"""The benchmarks of episodes, in the order in which a root is searched for them, and how many folds each has."""

SCENES = {
    "voc": voc_scenes,
    "ade20k": ade20k_scenes,
    "cityscapes": cityscapes_scenes,
    "coco-stuff-10k": cocostuff10k_scenes,
    "lip": lip_scenes,
    "camvid": camvid_scenes,
}


def open_episodes(
    root: Path | str, fold: int = 0, benchmark: str | None = None, folds: str = "interleaved"
) -> EpisodeSet:
    """The test classes of one fold of a benchmark of `FOLDS`; without a name, of the first that `root` holds.

    `folds` is the convention of COCO-20i, "interleaved" or "contiguous" (see `coco20i`); the others have none.

    Raises `DataSetError` for an unknown name, fold or convention, for contiguous folds of another benchmark, and with
    what each loader looked for if none is there.
    """
    known(folds, FOLD_CONVENTIONS, "fold convention")
    if benchmark is not None:
        known(benchmark, FOLDS, "benchmark of episodes")
        known(fold, range(FOLDS[benchmark]), f"fold of {benchmark}")
        if folds != "interleaved" and benchmark != "coco-20i":
            raise DataSetError(f"{benchmark} has no {folds} folds; only coco-20i has two conventions to choose from")
        if benchmark == "pascal-5i":
            return pascal5i(root, fold)
        if benchmark == "coco-20i":
            return coco20i(root, fold, folds=folds)
        return fss1000(root) if benchmark == "fss-1000" else class_folders(root)
    reasons = []
    for name in FOLDS:
        try:
            return open_episodes(root, fold, name, folds)
        except DataSetError as error:
            reasons.append(str(error))
    raise DataSetError("no benchmark of episodes was found:\n" + "\n".join(f"- {reason}" for reason in reasons))


def open_scenes(root: Path | str, benchmark: str, split: str | None = None) -> SceneSet:
    """The scenes of a benchmark of `SCENES`, by default its test split."""
    known(benchmark, SCENES, "benchmark of scenes")
    return SCENES[benchmark](root) if split is None else SCENES[benchmark](root, split)
