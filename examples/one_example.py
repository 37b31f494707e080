"""Segment the motorcycle of scikit-image's stereo pair: the left image is the example, the right one the query.

python examples/one_example.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

from skimage import data

from likewise import Example, FewShot
from likewise.io.images import save_image
from likewise.jobs.demo import near_object

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
left, right, disparity = data.stereo_motorcycle()

few_shot = FewShot()
concept = few_shot.learn(Example(left, mask=near_object(disparity), class_name="motorcycle"))
concept.save(out / "motorcycle.concept")

result = few_shot.segment(right, concept)
result.save(out / "motorcycle.mask.png")
save_image(result.overlay(), out / "motorcycle.overlay.jpg")
print(result)
