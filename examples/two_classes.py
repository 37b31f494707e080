"""Two classes at once, marked by boxes: a cup and a spoon, then a third image's cat added to what was learned.

python examples/two_classes.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

from skimage import data

from likewise import Concept, Example, FewShot
from likewise.io.images import save_image
from likewise.viz.draw import overlay

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
coffee, cat = data.coffee(), data.chelsea()

few_shot = FewShot()
table = few_shot.learn(
    [
        Example(coffee, box=(150, 60, 450, 330), class_name="cup"),
        Example(coffee, box=(410, 40, 590, 260), class_name="spoon"),
    ]
)
table.save(out / "table.concept")
everything = Concept.load(out / "table.concept").merged(
    few_shot.learn(Example(cat, box=(60, 20, 400, 290), class_name="cat"))
)

for name, image in (("coffee", coffee), ("cat", cat)):
    result = few_shot.segment(image, everything)
    save_image(overlay(image, result.labels), out / f"{name}.overlay.jpg")
    print(name, {own: round(score, 2) for own, score in zip(result.classes, result.scores, strict=True)})
