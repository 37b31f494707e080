"""Data sets as indices: episodes of classes, groups that share an object, fully labelled scenes."""

from pathlib import Path

from likewise.data.class_folders import class_folders, fss1000
from likewise.data.coco import coco20i
from likewise.data.episodes import EpisodeSet
from likewise.data.layout import DataSetError, known
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


def open_episodes(root: Path | str, fold: int = 0, benchmark: str | None = None) -> EpisodeSet:
    """The test classes of one fold of a benchmark of `FOLDS`; without a name, of the first that `root` holds.

    Raises `DataSetError` for an unknown name or fold, and with what each loader looked for if none is there.
    """
    if benchmark is not None:
        known(benchmark, FOLDS, "benchmark of episodes")
        known(fold, range(FOLDS[benchmark]), f"fold of {benchmark}")
        if benchmark == "pascal-5i":
            return pascal5i(root, fold)
        if benchmark == "coco-20i":
            return coco20i(root, fold)
        return fss1000(root) if benchmark == "fss-1000" else class_folders(root)
    reasons = []
    for name in FOLDS:
        try:
            return open_episodes(root, fold, name)
        except DataSetError as error:
            reasons.append(str(error))
    raise DataSetError("no benchmark of episodes was found:\n" + "\n".join(f"- {reason}" for reason in reasons))


def open_scenes(root: Path | str, benchmark: str, split: str | None = None) -> SceneSet:
    """The scenes of a benchmark of `SCENES`, by default its test split."""
    known(benchmark, SCENES, "benchmark of scenes")
    return SCENES[benchmark](root) if split is None else SCENES[benchmark](root, split)
