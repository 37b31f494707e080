"""The tests of every model. A model's test class inherits these and defines `build`, `run` and `loss`."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from likewise.weights.checkpoint import load_state, read_state


class ModelSuite:
    """Inherit, and define the methods that raise here."""

    def build(self) -> nn.Module:
        """Return the model with random weights, trainable as in its recipe."""
        raise NotImplementedError

    def run(self, model: nn.Module, size: tuple[int, int]) -> Tensor:
        """Return the output for a fixed input of that size."""
        raise NotImplementedError

    def loss(self, model: nn.Module, size: tuple[int, int]) -> Tensor:
        """Return the training loss for a fixed input of that size."""
        raise NotImplementedError

    SIZES = ((64, 96), (96, 64))

    @pytest.fixture
    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().eval()

    def test_every_trainable_parameter_gets_a_gradient(self, model):
        model.train()
        self.loss(model, self.SIZES[0]).backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.abs().sum() > 0, name

    def test_inputs_of_two_sizes_do_not_influence_each_other(self, model):
        with torch.no_grad():
            first = self.run(model, self.SIZES[0])
            other = self.run(model, self.SIZES[1])
            again = self.run(model, self.SIZES[0])
        assert first.shape[-2:] == self.SIZES[0]
        assert other.shape[-2:] == self.SIZES[1]
        torch.testing.assert_close(first, again, rtol=0, atol=0)

    def test_a_saved_and_loaded_model_gives_the_same_output(self, model, tmp_path: Path):
        save_file(model.state_dict(), tmp_path / "model.safetensors")
        torch.manual_seed(1)
        other = self.build().eval()
        load_state(other, read_state(tmp_path / "model.safetensors"), source="model.safetensors")
        with torch.no_grad():
            torch.testing.assert_close(self.run(other, self.SIZES[0]), self.run(model, self.SIZES[0]), rtol=0, atol=0)

    def test_a_forward_pass_does_not_change_the_model(self, model):
        before = copy.deepcopy(model.state_dict())
        attributes = set(vars(model))
        with torch.no_grad():
            self.run(model, self.SIZES[0])
        assert set(vars(model)) == attributes
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)

    def test_training_does_not_change_frozen_parameters(self, model):
        frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
        model.train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        self.loss(model, self.SIZES[0]).backward()
        optimizer.step()
        for name, value in frozen.items():
            torch.testing.assert_close(model.get_parameter(name), value, rtol=0, atol=0)

    def test_the_inputs_are_not_changed(self, model):
        """`run` builds its inputs from a fixed seed, so two runs give the same output."""
        with torch.no_grad():
            torch.testing.assert_close(self.run(model, self.SIZES[0]), self.run(model, self.SIZES[0]), rtol=0, atol=0)
