"""Equal runs give equal bits: rows of concepts, probabilities and files, in processes of their own."""

import json
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
import hashlib, json, sys
import numpy as np
from PIL import Image
from likewise import CoSaliency, Example, FewShot, SceneParser

noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
image = np.asarray(Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)).copy()
other, mask = image[::-1, ::-1].copy(), np.zeros((240, 320), bool)
mask[60:150, 100:200] = True

def arrays_of(kind, model):
    if kind == "groups":
        predictor = CoSaliency(device="cpu")
        group = predictor.learn([image, other])
        return [predictor.segment(each, group).probability for each in (image, other)]
    if kind == "scenes":
        return [SceneParser(model, device="cpu").probabilities(image)]
    predictor = FewShot(model, engine=kind, device="cpu")
    concept = predictor.learn([Example(image, mask=mask), Example(other, mask=mask)])
    return [*concept.rows.values(), *(predictor.segment(each, concept).probability for each in (image, other))]

found = {}
for name, words in json.loads(sys.argv[1]).items():
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays_of(*words))
    found[name] = hashlib.sha256(content).hexdigest()
print(json.dumps(found))
"""
KINDS = ("onnx", "torch", "hsnet", "hsnet on onnx", "groups", "scenes")


@pytest.fixture(scope="module")
def digests(tmp_path_factory) -> list[dict[str, str]]:
    """The digest of the arrays of each kind, by run; a process computes all kinds, since its start takes longest."""
    folder = tmp_path_factory.mktemp("runs")
    words = {
        "onnx": ("onnx", "prototypes-lite0"),
        "torch": ("torch", "prototypes-lite0"),
        "hsnet": ("torch", str(make_hsnet_run(folder))),
        "hsnet on onnx": ("onnx", "hsnet-lite0"),
        "groups": ("groups", ""),
        "scenes": ("scenes", str(write_run(folder / "run"))),
    }
    assert tuple(words) == KINDS
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(words)]
    found = []
    for _ in range(RUNS):
        done = subprocess.run(command, env={**environment, "PYTHONPATH": SOURCE}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_equal_runs_have_equal_bits(kind, digests, record_property):
    record_property("tried", len(digests))
    assert len(digests) == RUNS
    assert len({each[kind] for each in digests}) == 1
