import pytest
import torch

from likewise.predict import devices
from likewise.predict.devices import torch_device, torch_precision


def test_auto_is_the_cpu_where_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert torch_device("auto") == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match=r"device 'tpu9' cannot be used here .*'auto' and 'cpu' always can"):
        torch_device("tpu9")


def test_bfloat16_is_for_devices_that_compute_in_it(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(devices, "computes_in_bfloat16", lambda device: True)
    assert torch_precision("bfloat16", cpu) == torch.bfloat16
    monkeypatch.setattr(devices, "computes_in_bfloat16", lambda device: False)
    assert torch_precision("float32", cpu) == torch.float32
    with pytest.raises(ValueError, match="device 'cpu' does not compute in bfloat16; leave the precision at float32"):
        torch_precision("bfloat16", cpu)
    with pytest.raises(ValueError, match="no precision is called 'half'; there are float32, bfloat16"):
        torch_precision("half", cpu)


def test_bfloat16_is_tried_and_not_inferred_from_the_processor(monkeypatch):
    def fail(*arguments, **more):
        raise RuntimeError("could not create a primitive descriptor")

    devices.computes_in_bfloat16.cache_clear()
    monkeypatch.setattr(devices.F, "conv2d", fail)
    try:
        assert not devices.computes_in_bfloat16(torch.device("cpu"))
    finally:
        devices.computes_in_bfloat16.cache_clear()
