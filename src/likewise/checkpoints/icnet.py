"""ICNet's published names under ours."""

from __future__ import annotations

from torch import Tensor

from likewise.checkpoints.renaming import renamed

PUBLISHED_NAMES = {
    "vgg.vgg.": "backbone.net.features.",
    "conv4_cmprs.": "compress8.",
    "conv5_cmprs.": "compress16.",
    "conv6_cmprs.": "compress32.",
    **{
        f"{theirs}.{their_part}": f"{ours}.{our_part}"
        for theirs, ours in {"Co4": "attend8", "Co5": "attend16", "Co6": "attend32"}.items()
        for their_part, our_part in {
            "cosal_feat.conv.0.": "correlation.",
            "cosal_feat.conv.1.conv.": "side.convolutions.",
            "conv.0.": "merge.0.",
            "conv.1.conv.": "merge.1.convolutions.",
        }.items()
    },
    "merge_co_56.conv.": "merge32to16.convolutions.",
    "merge_co_45.0.conv.": "merge16to8.0.convolutions.",
    "merge_co_45.1.": "merge16to8.1.",
    "get_pred_4.pred.": "predict.",
    **{
        f"refine_{3 - index}.{their_part}": f"refinements.{index}.{our_part}"
        for index in range(3)
        for their_part, our_part in {"cmprs.": "compress.", "merge_conv.": "merge.", "pred.pred.": "predict."}.items()
    },
}


def from_checkpoint(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published program's entries under our names, with or without `module.` before them.

    Raises:
        ValueError: an entry that the published program does not have.
    """
    return {renamed(published, PUBLISHED_NAMES, "ICNet"): value for published, value in state.items()}
