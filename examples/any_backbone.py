"""Segment with another timm backbone. Without WEIGHTS_FILE the weights are random, and the masks meaningless.

python examples/any_backbone.py [OUTPUT_FOLDER] [WEIGHTS_FILE]
"""

import sys
from pathlib import Path

import timm
from safetensors.torch import save_file
from skimage import data

from likewise import Example, FewShot

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
out.mkdir(parents=True, exist_ok=True)
weights = Path(sys.argv[2]) if len(sys.argv) > 2 else out / "random.safetensors"
if not weights.exists():
    save_file(timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(), weights)

few_shot = FewShot("panet", backbone="vit_tiny_patch16_224", taps=(9, 11), weights=weights, side=224)
concept = few_shot.learn(Example(data.chelsea(), box=(60, 20, 400, 290), class_name="cat"))
print(concept, few_shot.segment(data.chelsea(), concept))
