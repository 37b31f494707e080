"""Put the objects of a concept into a FiftyOne dataset, with presence to sort by, and open its app.

python examples/fiftyone/segment.py photos/ cat.concept
"""

import sys

import fiftyone

from likewise import Concept, FewShot


def to_detections(result):
    """Return FiftyOne's detections: boxes relative to the image, masks cut to them."""
    found, (height, width) = result.instances, result.labels.shape
    detections = []
    for label, score, mask, box in zip(found.labels, found.scores, found.masks, found.boxes.tolist(), strict=True):
        x0, y0, x1, y1 = box
        detections.append(
            fiftyone.Detection(
                label=result.classes[label - 1],
                confidence=float(score),
                bounding_box=[x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
                mask=mask[y0:y1, x0:x1],
            )
        )
    return fiftyone.Detections(detections=detections)


if __name__ == "__main__":
    photos, concept = sys.argv[1:]
    segmenter = FewShot().prepare(Concept.load(concept))
    dataset = fiftyone.Dataset.from_images_dir(photos)
    for sample in dataset.iter_samples(autosave=True, progress=True):
        result = segmenter(sample.filepath)
        sample["presence"], sample["likewise"] = result.presence, to_detections(result)
    fiftyone.launch_app(dataset.sort_by("presence", reverse=True)).wait()
