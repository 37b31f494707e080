"""Segment a cup and a spoon by boxes, add a cat to the saved concept, and segment a stream of images.

python examples/two_classes.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

from skimage import data

from likewise import Concept, Example, FewShot
from likewise.io.images import save_image

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
images = {"coffee": data.coffee(), "cat": data.chelsea()}

few_shot = FewShot()
table = few_shot.learn(
    [
        Example(images["coffee"], box=(150, 60, 450, 330), class_name="cup"),
        Example(images["coffee"], box=(410, 40, 590, 260), class_name="spoon"),
    ]
)
table.save(out / "table.concept")
cat = few_shot.learn(Example(images["cat"], box=(60, 20, 400, 290), class_name="cat"))

segmenter = few_shot.prepare(Concept.load(out / "table.concept").merged(cat))
for name, result in zip(images, segmenter.stream(images.values()), strict=True):
    save_image(result.overlay(), out / f"{name}.overlay.jpg")
    print(name, result)
