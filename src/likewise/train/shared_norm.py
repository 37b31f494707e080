"""Batch norm over the whole batch when processes share it, on any device (torch's own wants an accelerator)."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

Model = TypeVar("Model", bound=nn.Module)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all processes; of this one where there is no other."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not (self.training and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = x.float()
        count = values.new_tensor([x.shape[0] * x.shape[2] * x.shape[3]])
        sums = all_reduce(torch.cat([values.sum(dim=(0, 2, 3)), count]))
        mean = (sums[:-1] / sums[-1])[:, None, None]
        deviation = all_reduce((values - mean).square().sum(dim=(0, 2, 3)))
        variance = deviation / sums[-1]
        with torch.no_grad():
            self.running_mean.lerp_(mean[:, 0, 0], self.momentum)
            self.running_var.lerp_(deviation / (sums[-1] - 1).clamp_min(1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = (self.weight * (variance + self.eps).rsqrt())[:, None, None]
        return ((values - mean) * scale + self.bias[:, None, None]).to(x.dtype)


def share_norms(model: Model) -> Model:
    """The model with each of its batch norms shared if this process is one of several; names of entries stay."""
    if not (torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        return model
    for parent in list(model.modules()):
        for name, module in parent.named_children():
            if type(module) is nn.BatchNorm2d:
                shared = SharedBatchNorm2d(module.num_features, module.eps, module.momentum)
                shared.load_state_dict(module.state_dict())
                shared.train(module.training).requires_grad_(module.weight.requires_grad)
                setattr(parent, name, shared)
    return model
