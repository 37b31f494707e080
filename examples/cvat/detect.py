"""Annotate a CVAT task by a concept, a mask or polygons for each object.

cvat-cli auto-annotate 7 --function-file examples/cvat/detect.py -p concept=str:coin.concept --allow-unmatched-labels
"""

import cvat_sdk.auto_annotation as cvat
from cvat_sdk.masks import encode_mask

from likewise import Concept, FewShot
from likewise.io.annotations.outlines import outline


class Detector:
    """A detection function of CVAT: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/"""

    def __init__(self, concept):
        concept = Concept.load(concept)
        self.segmenter = FewShot().prepare(concept)
        labels = [cvat.label_spec(name, id, type="mask") for id, name in enumerate(concept.classes)]
        self.spec = cvat.DetectionFunctionSpec(labels=labels)

    def detect(self, context, image):
        found = self.segmenter(image).instances
        shapes = []
        for label, score, mask in zip(found.labels.tolist(), found.scores, found.masks, strict=True):
            if score < (context.conf_threshold or 0):
                continue
            if context.conv_mask_to_poly:
                parts = outline(mask).parts
                shapes += [cvat.polygon(label - 1, rings[0].ravel().tolist()) for rings in parts]
            else:
                shapes.append(cvat.mask(label - 1, encode_mask(mask)))
        return shapes


create = Detector
