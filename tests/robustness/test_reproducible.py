"""Equal runs give equal bits: rows of concepts, probabilities and files, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.fake_runs import make_hsnet_run
from support.scene_runs import write_run

SOURCE = str(Path(__file__).parents[2] / "src")
RUNS = int(os.environ.get("LIKEWISE_EQUAL_RUNS", "2"))
PROGRAM = """
import hashlib, sys
import numpy as np
from PIL import Image
from likewise import CoSaliency, Example, FewShot, SceneParser

kind, model = sys.argv[1:]
noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
image = np.asarray(Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)).copy()
other, mask = image[::-1, ::-1].copy(), np.zeros((240, 320), bool)
mask[60:150, 100:200] = True
arrays = []
if kind == "groups":
    predictor = CoSaliency(device="cpu")
    group = predictor.learn([image, other])
    arrays = [predictor.segment(each, group).probability for each in (image, other)]
elif kind == "scenes":
    arrays = [SceneParser(model, device="cpu").probabilities(image)]
else:
    predictor = FewShot(model, engine=kind, device="cpu")
    concept = predictor.learn([Example(image, mask=mask), Example(other, mask=mask)])
    arrays = [*concept.rows.values(), *(predictor.segment(each, concept).probability for each in (image, other))]
print(hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch", "hsnet", "hsnet on onnx", "groups", "scenes"])
def test_equal_runs_have_equal_bits(kind, tmp_path, record_property):
    model = {"onnx": "prototypes-lite0", "torch": "prototypes-lite0"}.get(kind, "")
    if kind == "hsnet":
        kind, model = "torch", str(make_hsnet_run(tmp_path))
    elif kind == "hsnet on onnx":
        kind, model = "onnx", "hsnet-lite0"
    elif kind == "scenes":
        model = str(write_run(tmp_path / "run"))
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    words = [sys.executable, "-c", PROGRAM, kind, model]
    found = set()
    for _ in range(RUNS):
        done = subprocess.run(words, env={**environment, "PYTHONPATH": SOURCE}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    record_property("tried", RUNS)
    assert len(found) == 1
