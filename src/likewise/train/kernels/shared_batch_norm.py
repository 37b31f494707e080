"""Batch norm over the batch of all processes, on any device; `nn.SyncBatchNorm` requires an accelerator."""

from typing import TypeVar

import torch
import torch.distributed
from jaxtyping import Float
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

Model = TypeVar("Model", bound=nn.Module)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm with the statistics of all processes in training, then timm's dropout and activation, if any."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        assert norm.affine
        assert norm.momentum is not None
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.load_state_dict(norm.state_dict())
        self.requires_grad_(norm.weight.requires_grad).train(norm.training)
        self.following = (norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else ()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        x = self.synchronised(x) if self.training else super().forward(x)
        for function in self.following:
            x = function(x)
        return x

    def synchronised(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = x.float()
        count = values.new_tensor([x.shape[0] * x.shape[2] * x.shape[3]])
        sums = all_reduce(torch.cat([values.sum(dim=(0, 2, 3)), count]))
        mean = (sums[:-1] / sums[-1])[:, None, None]
        deviation = all_reduce((values - mean).square().sum(dim=(0, 2, 3)))
        with torch.no_grad():
            self.running_mean.lerp_(mean[:, 0, 0], self.momentum)
            self.running_var.lerp_(deviation / (sums[-1] - 1).clamp_min(1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = (self.weight * (deviation / sums[-1] + self.eps).rsqrt())[:, None, None]
        return ((values - mean) * scale + self.bias[:, None, None]).to(x.dtype)


def share_batch_norms(model: Model) -> Model:
    """Return the model, with its batch norms shared if there are several processes; the state dict stays the same."""
    if not (torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        return model
    for parent in list(model.modules()):
        for name, module in parent.named_children():
            if type(module) in (nn.BatchNorm2d, BatchNormAct2d):
                assert isinstance(module, nn.BatchNorm2d)
                setattr(parent, name, SharedBatchNorm2d(module))
    return model
