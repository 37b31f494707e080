"""Class names of the public data sets, in the order of their labels."""

import re
from collections.abc import Sequence

# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)
"""The 80 object classes of COCO in the order of their category ids: labels 1 to 80 of mask PNGs."""

CITYSCAPES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
    "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)
"""The 19 evaluated classes of Cityscapes in the order of their train ids."""

CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids of `CITYSCAPES` in `*_gtFine_labelIds.png`."""

LIP = (
    "background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe",
    "right-shoe",
)
"""Labels 0 to 19 of Look into Person."""

LIP_MIRRORED = ((14, 15), (16, 17), (18, 19))
"""Label pairs of left and right parts, which change places when an image is mirrored."""

CAMVID = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)
"""Labels 0 to 10 of CamVid as packed by the SegNet tutorial; 11 is void."""
# fmt: on


def mirrored_pairs(classes: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of labels whose names differ only in "left" and "right"; mirroring an image exchanges them."""
    pairs = []
    for left, name in enumerate(classes):
        words = re.split("([^a-z]+)", name.lower())
        other = ["right" if word == "left" else word for word in words]
        right = [re.split("([^a-z]+)", candidate.lower()) for candidate in classes]
        if other != words and other in right:
            pairs.append((left, right.index(other)))
    return tuple(pairs)
