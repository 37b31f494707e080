"""Depthwise convolution with its own backward pass, compared with torch's in single precision."""

import copy

import pytest
import torch
from torch import nn

from likewise.backbones.specs import BACKBONES
from likewise.backbones.taps import Backbone
from likewise.train.kernels import FastDepthwiseConv2d, use_fast_depthwise


def both(side: int, dilation: int, size: tuple[int, int]) -> tuple[nn.Conv2d, nn.Conv2d, torch.Tensor]:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 6, side, padding=side // 2 * dilation, dilation=dilation, groups=6, bias=False)
    quick = copy.deepcopy(plain)
    use_fast_depthwise(quick)
    assert type(quick) is FastDepthwiseConv2d
    return plain, quick, torch.randn(2, 6, *size).contiguous(memory_format=torch.channels_last)


def gradients(layer: nn.Conv2d, planes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    planes = planes.clone().requires_grad_()
    found = layer(planes)
    direction = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
    return found, *torch.autograd.grad((found.float() * direction).sum(), (planes, layer.weight))


@pytest.mark.parametrize("size", [(12, 16), (13, 11), (3, 2)])
@pytest.mark.parametrize(("side", "dilation"), [(3, 1), (3, 2), (5, 2), (5, 4)])
def test_output_and_gradients_equal_torchs(side, dilation, size):
    plain, quick, planes = both(side, dilation, size)
    for one, other in zip(gradients(plain, planes), gradients(quick, planes), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 2])
def test_gradients_in_bfloat16_equal_those_in_single_precision_up_to_rounding(dilation):
    plain, quick, planes = both(5, dilation, (12, 16))
    expected = gradients(plain, planes)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(quick, planes.bfloat16())
    assert [part.dtype for part in found] == [torch.bfloat16, torch.bfloat16, torch.float32]
    for one, other in zip(expected, found, strict=True):
        assert (other.float() - one).norm() < 0.02 * one.norm()


def test_frozen_weights_get_no_gradient():
    _, quick, planes = both(3, 2, (12, 16))
    quick.weight.requires_grad_(False)
    quick(planes.requires_grad_()).sum().backward()
    assert quick.weight.grad is None
    assert planes.grad is not None


def test_only_depthwise_convolutions_of_stride_1_are_replaced_in_a_backbone():
    backbone = Backbone(BACKBONES["lite0-stride8"].with_taps("blocks.4.2", "blocks.5.0"))
    images = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        before = backbone(images)
    entries = list(backbone.state_dict())
    use_fast_depthwise(backbone)
    quick = [module for module in backbone.modules() if type(module) is FastDepthwiseConv2d]
    assert {module.dilation for module in quick} == {(1, 1), (2, 2)}
    assert all(module.groups == module.in_channels > 1 for module in quick)
    assert list(backbone.state_dict()) == entries
    with torch.no_grad():
        for one, other in zip(before, backbone(images), strict=True):
            torch.testing.assert_close(other, one)
