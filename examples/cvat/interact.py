"""Masks from clicks and boxes in CVAT.

cvat-cli function create-native likewise --function-file examples/cvat/interact.py
cvat-cli function run-agent ID --function-file examples/cvat/interact.py
"""

import cvat_sdk.auto_annotation as cvat
from cvat_sdk.masks import encode_mask

from likewise import Selector


class Interactor:
    """An interaction function of CVAT: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/"""

    spec = cvat.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def preprocess_image(self, context, image):
        return Selector(image)

    def detect(self, context, image, prompts):
        points = [*prompts.pos_points, *prompts.neg_points]
        labels = [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points)
        corners = prompts.bounding_box
        mask = image.mask(points, labels, None if corners is None else (*corners[0], *corners[1]))
        return [cvat.InteractionResultShape(type="mask", points=encode_mask(mask))] if mask.any() else []


create = Interactor
