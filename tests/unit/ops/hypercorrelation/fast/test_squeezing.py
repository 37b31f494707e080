"""The fast way against the plain one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from likewise.ops.hypercorrelation.correlation import CenterPivotConv4d, correlate, unit
from likewise.ops.hypercorrelation.fast import squeezing
from likewise.ops.hypercorrelation.fast.squeezing import (
    LearnedLevel,
    Window,
    convolve,
    mean_over_support,
    mix,
    squeeze,
)
from likewise.ops.hypercorrelation.supports import SupportLevel


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("axis", [1, 2, 5, 8, 13, 25])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_a_window_holds_every_output_that_sees_an_input(axis, kernel, stride):
    half = kernel // 2
    sees = {o: set(range(o * stride - half, o * stride + half + 1)) for o in range((axis - 1) // stride + 1)}
    for low in range(axis):
        for high in range(low, axis):
            window = Window.over(low, high, axis, kernel, stride)
            inputs = set(range(low, high + 1))
            seeing = {o for o, seen in sees.items() if seen & inputs}
            outputs = set(range(window.first, window.last + 1))
            assert seeing <= outputs <= set(sees)
            own, positions = window.centers(stride)
            centers = {window.first + i for i in range(window.span)[own]}
            assert centers == {o for o in sees if o * stride in inputs}
            assert {low + i for i in range(window.size)[positions]} == {o * stride for o in centers}
            line = torch.zeros(1, 1, axis)
            line[..., low : high + 1] = torch.arange(1.0, high - low + 2)
            weight = torch.arange(1.0, kernel + 1)[None, None]
            alone = F.pad(line[..., low : high + 1], (0, window.size - (high - low + 1)))
            alone = F.conv1d(alone, weight, stride=stride, padding=window.padding)[..., : window.span]
            whole = F.conv1d(line, weight, stride=stride, padding=half)
            torch.testing.assert_close(alone, whole[..., window.outputs])


def squeeze_block(channels: int, shapes: tuple[tuple[int, int], ...]) -> nn.Sequential:
    widths = (channels, 8, 12, 16)
    layers: list[nn.Module] = []
    for index, (kernel, stride) in enumerate(shapes):
        layers.append(CenterPivotConv4d(widths[index], widths[index + 1], kernel=kernel, stride=stride))
        layers += [nn.GroupNorm(4, widths[index + 1]), nn.ReLU()]
        nn.init.uniform_(layers[-2].weight, 0.5, 1.5)
        nn.init.normal_(layers[-2].bias)
    return nn.Sequential(*layers).eval()


SHAPES = {8: ((5, 4), (5, 4), (3, 2)), 16: ((5, 4), (3, 2), (3, 2)), 32: ((3, 2), (3, 2), (3, 2))}
MASKS = {
    "in the middle": (slice(5, 9), slice(6, 11)),
    "everywhere": (slice(None), slice(None)),
    "in a corner": (slice(-1, None), slice(-1, None)),
    "nowhere": (slice(0, 0), slice(0, 0)),
    "two far rows": (slice(0, None, 14), slice(2, 4)),
}


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("plane", [(16, 20), (15, 13), (3, 2), (1, 1)])
@pytest.mark.parametrize("mask", MASKS)
def test_a_level_squeezed_by_tiles_and_patches_is_the_same(stride, plane, mask, monkeypatch):
    monkeypatch.setattr(squeezing, "TILE", 4000)
    grid = (5, 7)
    query = [unit(torch.randn(1, c, *grid)) for c in (6, 9)]
    support = []
    for c in (6, 9):
        tap = torch.zeros(1, c, *plane)
        tap[:, :, *MASKS[mask]] = torch.randn(1, c, *plane)[:, :, *MASKS[mask]]
        support.append(unit(tap))
    block = squeeze_block(2, SHAPES[stride])
    level = LearnedLevel.of(SupportLevel.of([tap[0].numpy() for tap in support]), query[0])
    flat = [tap[0].flatten(1).T.contiguous() for tap in query]
    with torch.inference_mode():
        expected = block(correlate(query, support))
        found = squeeze(block, flat, grid, level).unflatten(4, grid).permute(0, 1, 4, 5, 2, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("plane", [(2, 2), (4, 3), (1, 1)])
def test_a_whole_level_is_convolved_where_it_lies(stride, plane):
    layer = CenterPivotConv4d(4, 8, kernel=3, stride=stride)
    x = torch.randn(2, 4, 5, 6, *plane)
    lying = x.permute(0, 1, 4, 5, 2, 3).flatten(4).contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        found = convolve(layer, lying, (5, 6)).unflatten(4, (5, 6)).permute(0, 1, 4, 5, 2, 3)
        torch.testing.assert_close(found, layer(x), rtol=1e-4, atol=1e-5)


def test_a_mix_block_is_the_same_where_it_lies():
    block = squeeze_block(8, ((3, 1), (3, 1), (3, 1)))
    x = torch.randn(1, 8, 5, 6, 2, 2)
    lying = x.permute(0, 1, 4, 5, 2, 3).flatten(4).contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        found = mix(block, lying, (5, 6)).unflatten(4, (5, 6)).permute(0, 1, 4, 5, 2, 3)
        torch.testing.assert_close(found, block(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lies", [torch.contiguous_format, torch.channels_last_3d])
def test_the_mean_over_the_support_does_not_depend_on_how_a_level_lies(lies):
    x = torch.randn(1, 8, 2, 3, 5 * 6).contiguous(memory_format=lies)
    expected = x.unflatten(4, (5, 6)).mean(dim=(2, 3))
    torch.testing.assert_close(mean_over_support(x, (5, 6)), expected)
