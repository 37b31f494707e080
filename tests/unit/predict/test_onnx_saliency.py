"""Saliency models in ONNX files."""

from pathlib import Path

import numpy as np
import pytest

from likewise.errors import ModelError, WeightsError
from likewise.predict.onnx_saliency import OnnxSaliency
from likewise.predict.saliency import Saliency

IMAGE = np.zeros((30, 50, 3), np.uint8)
IMAGE[:, 25:, 0] = 255


def write_model(path: Path, *, shape: tuple[int | str, ...] = (1, 3, 16, 32), sides: int = 1) -> Path:
    """A model whose output is the red channel (and, with more `sides`, as many channels)."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    given = helper.make_tensor_value_info("image", kinds.FLOAT, shape)
    found = helper.make_tensor_value_info("map", kinds.FLOAT, None)
    # Slice from a to b along axis c
    ends = [helper.make_tensor(name, kinds.INT64, [1], [value]) for name, value in (("a", 0), ("b", sides), ("c", 1))]
    node = helper.make_node("Slice", ["image", "a", "b", "c"], ["map"])
    graph = helper.make_graph([node], "saliency", [given], [found], ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_the_image_is_normalised_at_the_size_of_the_models_input(tmp_path):
    model = OnnxSaliency(write_model(tmp_path / "red.onnx"))
    plane = model.plane(IMAGE)
    assert plane.shape == (16, 32)
    # logits, since they leave [0, 1]: red 0 and 255 under ImageNet's mean and deviation
    expected = 1 / (1 + np.exp([0.485 / 0.229, (0.485 - 1) / 0.229]))
    np.testing.assert_allclose(plane[8, [2, -3]], expected, rtol=1e-5)


def test_a_free_input_size_becomes_320_pixels(tmp_path):
    model = OnnxSaliency(write_model(tmp_path / "free.onnx", shape=(1, 3, "height", "width")))
    assert model.plane(IMAGE).shape == (320, 320)


def test_saliency_takes_the_path_of_an_onnx_file(tmp_path):
    result = Saliency(write_model(tmp_path / "red.onnx")).segment(IMAGE)
    assert result.mask.shape == (30, 50)
    assert result.mask[:, 30:].all()
    assert not result.mask[:, :20].any()


def test_other_files_and_other_models_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"\.onnx"):
        OnnxSaliency(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(WeightsError, match=r"\.onnx"):
        OnnxSaliency(tmp_path / "text.onnx")
    with pytest.raises(ModelError, match=r"\[1, 4, 16, 32\]"):
        OnnxSaliency(write_model(tmp_path / "four.onnx", shape=(1, 4, 16, 32)))
    with pytest.raises(ModelError, match=r"\(1, 3, 16, 32\)"):
        OnnxSaliency(write_model(tmp_path / "three.onnx", sides=3)).plane(IMAGE)
