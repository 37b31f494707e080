import pytest
import torch

from likewise.errors import ModelError
from likewise.predict import devices
from likewise.predict.devices import torch_device, torch_precision


def test_auto_is_the_cpu_without_an_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert torch_device("auto") == torch.device("cpu")


def test_a_missing_device_is_refused_by_name():
    with pytest.raises(ModelError, match="tpu9"):
        torch_device("tpu9")


def test_bfloat16_is_refused_by_devices_without_it(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(devices, "computes_in_bfloat16", lambda device: True)
    assert torch_precision("bfloat16", cpu) == torch.bfloat16
    monkeypatch.setattr(devices, "computes_in_bfloat16", lambda device: False)
    assert torch_precision("float32", cpu) == torch.float32
    with pytest.raises(ModelError, match="cpu"):
        torch_precision("bfloat16", cpu)


def test_bfloat16_is_tried_and_not_inferred_from_the_processor(monkeypatch):
    def fail(*arguments, **more):
        raise RuntimeError("could not create a primitive descriptor")

    devices.computes_in_bfloat16.cache_clear()
    monkeypatch.setattr(devices.F, "conv2d", fail)
    try:
        assert not devices.computes_in_bfloat16(torch.device("cpu"))
    finally:
        devices.computes_in_bfloat16.cache_clear()
