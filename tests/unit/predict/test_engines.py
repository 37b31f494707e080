"""Which engine runs a model, and what is missing where none does."""

from collections.abc import Callable

import onnxruntime
import pytest

from likewise import CoSaliency, FewShot, Saliency, SceneParser
from likewise.errors import MissingExtraError, ModelError
from likewise.predict import engines
from likewise.predict.engines import choose_exported
from likewise.weights.names import CO_SALIENCY, FEW_SHOT, MODELS


def without(*names: str) -> Callable[[str], object | None]:
    return lambda name: None if name in names else object()


def test_auto_takes_onnx_runtime_where_it_serves() -> None:
    assert choose_exported("panet-lite0", FEW_SHOT, engine="auto", device="auto") is not None
    assert choose_exported("icnet-lite0", CO_SALIENCY, engine="auto", device="coreml") is not None
    assert choose_exported("panet-lite0", FEW_SHOT, engine="auto", device="cuda") is None
    assert choose_exported("panet-lite0", FEW_SHOT, engine="torch", device="auto") is None
    assert choose_exported("panet-lite0", FEW_SHOT, engine="auto", device="auto", changed=["weights 'x'"]) is None
    assert choose_exported("panet-vgg16", FEW_SHOT, engine="auto", device="auto") is None


def test_onnx_refuses_what_it_does_not_run() -> None:
    for method, name, known in ((FewShot, "panet", "panet-lite0"), (CoSaliency, "icnet-vgg16", "icnet-lite0")):
        with pytest.raises(ModelError, match=rf"{known}.*{name}"):
            method(name, engine="onnx")
    with pytest.raises(ModelError, match=r"torhc.*torch"):
        Saliency(engine="torhc")
    with pytest.raises(ModelError, match="icnet-lite0"):
        SceneParser("icnet-lite0", engine="onnx")


def test_without_onnx_runtime_torch_serves_and_without_both_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", without("onnxruntime"))
    assert choose_exported("panet-lite0", FEW_SHOT, engine="auto", device="auto") is None
    with pytest.raises(MissingExtraError, match="onnxruntime"):
        FewShot(engine="onnx")
    monkeypatch.setattr(engines, "find_spec", without("onnxruntime", "torch"))
    with pytest.raises(MissingExtraError, match=r"pip install onnxruntime.*likewise\[torch\]"):
        FewShot()


def test_an_old_onnx_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.16.3")
    with pytest.raises(ModelError, match=r"1\.16\.3.*1\.17"):
        FewShot()


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.onnx])
def test_bundled_graphs_exist(name: str) -> None:
    assert all(path.is_file() for path in MODELS[name].onnx.values())
