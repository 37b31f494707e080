"""Checkpoint files are read safely and loaded strictly."""

import pickle

import pytest
import torch
from torch import nn

from likewise.errors import WeightsError
from likewise.weights.checkpoint import fingerprint, load_state, read_state


def test_missing_unexpected_and_misshapen_entries_are_named():
    layer = nn.Linear(2, 3)
    with pytest.raises(WeightsError, match=r"x\.pt.*1 missing: bias; 1 unexpected: other"):
        load_state(layer, {"weight": torch.zeros(3, 2), "other": torch.zeros(1)}, source="x.pt")
    with pytest.raises(WeightsError, match=r"weight.*\(2, 3\).*\(3, 2\)"):
        load_state(layer, {"weight": torch.zeros(2, 3), "bias": torch.zeros(3)}, source="x.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_by_entry_name_and_change_nothing(value):
    layer = nn.Linear(2, 3)
    before = layer.weight.clone()
    with pytest.raises(WeightsError, match=r"x\.pt.*bias"):
        load_state(layer, {"weight": torch.zeros(3, 2), "bias": torch.tensor([0.0, value, 1.0])}, source="x.pt")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_wrappers_and_the_prefix_of_parallel_training_are_removed(wrapper, tmp_path):
    state = {"module.weight": torch.ones(2)}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "best.pt")
    assert set(read_state(tmp_path / "best.pt")) == {"weight"}


class Opens:
    def __reduce__(self):
        return (open, ("/dev/null",))


def test_files_that_are_not_checkpoints_are_refused_by_name(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pt"):
        read_state(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(WeightsError, match=r"text\.pt"):
        read_state(tmp_path / "text.pt")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"empty\.safetensors"):
        read_state(tmp_path / "empty.safetensors")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Opens()))
    with pytest.raises(WeightsError, match=r"evil\.pt"):
        read_state(tmp_path / "evil.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match=r"list\.pt"):
        read_state(tmp_path / "list.pt")


def test_the_fingerprint_changes_with_any_weight():
    layer = nn.Linear(4, 4)
    before = fingerprint(layer)
    assert before == fingerprint(layer)
    with torch.no_grad():
        layer.bias[3] += 1e-6
    assert fingerprint(layer) != before
