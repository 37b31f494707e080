"""Four-dimensional arithmetic against slow, obvious loops, and the fast way against the plain one."""

import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from likewise import hypercorrelation
from likewise.hypercorrelation import (
    KERNELS,
    CenterPivotConv4d,
    FullConv4d,
    SeparableConv4d,
    Support,
    SupportLevel,
    Window,
    convolve,
    correlate,
    full_kernel,
    masks_of_levels,
    mix,
    squeeze,
    stacked,
    unit,
    unstacked,
)


def loop_conv4d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Every output by its definition: the sum over a 4D window, zero beyond the borders."""
    pad = weight.shape[-1] // 2
    padded = np.pad(x, [(0, 0), (0, 0)] + [(pad, pad)] * 4)
    side = weight.shape[-1]
    shape = (*x.shape[2:4], *((n - 1) // stride + 1 for n in x.shape[4:]))
    out = np.zeros((x.shape[0], weight.shape[0], *shape))
    for a, b, c, d in itertools.product(*map(range, shape)):
        starts = (a, b, c * stride, d * stride)
        window = padded[(slice(None), slice(None), *(slice(at, at + side) for at in starts))]
        out[:, :, a, b, c, d] = np.einsum("bcijkl,ocijkl->bo", window, weight) + bias
    return out


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4), (5, 2)])
def test_the_center_pivot_kernel_is_the_published_one(kernel, stride, rule, golden):
    meta, arrays = golden("hsnet_conv4d")
    case = f"k{kernel}s{stride}"
    state = rule.make_state(meta["cases"][case]["entries"], meta["gain"])
    names = {"conv1": "query", "conv2": "support"}
    layer = CenterPivotConv4d(3, 4, kernel=kernel, stride=stride)
    layer.load_state_dict(
        {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": torch.from_numpy(value) for name, value in state.items()}
    )
    x = torch.from_numpy(rule.make_array(*meta["inputs"]["x"][1:]))
    with torch.no_grad():
        torch.testing.assert_close(layer(x), torch.from_numpy(arrays[f"{case}_output"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_the_full_kernel_is_a_4d_convolution(kernel, stride):
    layer = FullConv4d(2, 3, kernel=kernel, stride=stride).double()
    x = torch.randn(2, 2, 3, 4, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        expected = loop_conv4d(x.numpy(), layer.weight.numpy(), layer.bias.numpy(), stride)
        torch.testing.assert_close(layer(x), torch.from_numpy(expected))


@pytest.mark.parametrize("name", ["center-pivot", "separable"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_a_full_kernel_with_the_same_weights_agrees(name, kernel, stride):
    layer = KERNELS[name](2, 3, kernel=kernel, stride=stride).double()
    x = torch.randn(2, 2, 4, 3, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(full_kernel(layer).double()(x), layer(x))


def test_a_full_kernel_takes_planes_smaller_than_itself():
    layer = CenterPivotConv4d(2, 3, kernel=5, stride=4).double()
    x = torch.randn(1, 2, 1, 2, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(full_kernel(layer).double()(x), layer(x))


def test_the_separable_kernel_has_no_bias_that_padding_would_cut_off():
    assert SeparableConv4d(2, 3, kernel=3).support.bias is None


def test_correlation_is_the_cosine_of_every_pair_without_what_is_negative():
    query, support = torch.randn(2, 5, 2, 3), torch.randn(2, 5, 4, 2)
    found = correlate([unit(query)], [unit(support)])
    for b, i, j, k, l in itertools.product(range(2), range(2), range(3), range(4), range(2)):
        cosine = torch.cosine_similarity(query[b, :, i, j], support[b, :, k, l], dim=0)
        torch.testing.assert_close(found[b, 0, i, j, k, l], cosine.clamp_min(0), rtol=1e-4, atol=1e-4)


def test_the_unit_of_a_zero_vector_is_zero():
    assert not unit(torch.zeros(1, 3, 2, 2)).any()


# ---- small objects ------------------------------------------------------------------------------------------------


def planes_of(size: int) -> dict[int, torch.Size]:
    return {stride: torch.Size((size // stride, size // stride)) for stride in (8, 16, 32)}


def small_mask(side: int, at: int = 70) -> torch.Tensor:
    mask = torch.zeros(1, 256, 256)
    mask[:, at : at + side, at : at + side] = 1
    return mask


def test_a_mask_that_every_level_holds_is_only_resized():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = masks_of_levels(small_mask(90), planes_of(256), rescue=True)
    expected = F.interpolate(small_mask(90)[None], size=8, mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(masks[32], expected)


def test_a_mask_that_vanishes_at_a_level_is_read_from_the_finest_level_that_holds_it():
    mask = small_mask(16, at=78)
    with pytest.warns(
        UserWarning, match="nothing of it is left at stride 32; the finest level that holds it stands in"
    ):
        masks = masks_of_levels(mask, planes_of(256), rescue=True)
    assert masks[8].any()
    torch.testing.assert_close(masks[32], F.max_pool2d(masks[8], 4))


def test_a_mask_that_vanishes_at_every_level_is_read_from_the_picture():
    mask = torch.zeros(2, 256, 256)
    mask[0, 77, 77] = 1
    mask[1] = small_mask(90)
    with pytest.warns(UserWarning, match="stride 8 and 16 and 32"):
        masks = masks_of_levels(mask, planes_of(256), rescue=True)
    for stride in (8, 16, 32):
        expected = F.max_pool2d(mask[:1], stride)[0]
        torch.testing.assert_close(masks[stride][0], expected)
        torch.testing.assert_close(masks[stride][1], masks_of_levels(mask[1:], planes_of(256), rescue=True)[stride][0])


def test_without_rescue_the_level_stays_empty_as_published():
    with pytest.warns(UserWarning, match="this stride will not be compared"):
        masks = masks_of_levels(small_mask(16, at=78), planes_of(256), rescue=False)
    assert not masks[32].any()


def test_an_empty_mask_stays_empty_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = masks_of_levels(torch.zeros(1, 256, 256), planes_of(256), rescue=True)
    assert not any(level.any() for level in masks.values())


# ---- the fast way -------------------------------------------------------------------------------------------------


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


def test_a_support_level_keeps_the_foreground_and_nothing_else():
    taps = [torch.zeros(3, 4, 5), torch.zeros(2, 4, 5)]
    taps[0][:, 1, 2] = torch.tensor([1.0, 2.0, 3.0])
    taps[1][:, 3, 4] = torch.tensor([4.0, 5.0])
    level = SupportLevel.of(taps)
    assert level.positions.tolist() == [[1, 2], [3, 4]]
    assert level.plane == (4, 5)
    assert level.features[0].tolist() == [[1, 2, 3], [0, 0, 0]]
    for dense, tap in zip(level.dense(), taps, strict=True):
        torch.testing.assert_close(dense[0], tap)


def test_examples_of_different_sizes_are_stacked_and_come_back():
    supports = []
    for height, width in ((4, 5), (3, 7)):
        taps = [unit(torch.rand(1, c, height, width))[0] * (torch.rand(height, width) > 0.5) for c in (3, 6)]
        levels = {8: SupportLevel.of(taps), 16: SupportLevel.of([tap[:, ::2, ::2] for tap in taps])}
        supports.append(Support(levels, torch.randn(2, 5)))
    rows = stacked(supports)
    assert all(len(row) == 2 for row in rows.values())
    assert all(row.dtype == torch.float16 for name, row in rows.items() if "features" in name)
    for support, again in zip(supports, unstacked(rows), strict=True):
        for stride, level in support.levels.items():
            assert again.levels[stride].plane == level.plane
            assert again.levels[stride].positions.tolist() == level.positions.tolist()
            for ours, theirs in zip(again.levels[stride].features, level.features, strict=True):
                torch.testing.assert_close(ours, theirs.half())
        torch.testing.assert_close(again.prototypes, support.prototypes.half())


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
    monkeypatch.setattr(hypercorrelation, "TILE", 4000)
    grid = (5, 7)
    query = [unit(torch.randn(1, c, *grid)) for c in (6, 9)]
    support = []
    for c in (6, 9):
        tap = torch.zeros(1, c, *plane)
        tap[:, :, *MASKS[mask]] = torch.randn(1, c, *plane)[:, :, *MASKS[mask]]
        support.append(unit(tap))
    block = squeeze_block(2, SHAPES[stride])
    level = SupportLevel.of([tap[0] for tap in support])
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


@pytest.mark.parametrize("way", ["by_matmul", "by_convolution", "by_planar_convolution"])
@pytest.mark.parametrize("count", [1, 6, 7])
def test_every_way_to_a_product_gives_it(way, count):
    support, query = torch.randn(count, 16), torch.randn(5, 16)
    found = getattr(hypercorrelation, way)(support, query)
    torch.testing.assert_close(found, support @ query.T, rtol=1e-5, atol=1e-5)


def test_the_way_to_a_product_is_the_one_that_was_measured_fastest(monkeypatch):
    times = {"by_matmul": 3.0, "by_convolution": 1.0, "by_planar_convolution": 2.0}
    monkeypatch.setattr(hypercorrelation, "seconds", lambda way, support, query: times[way.__name__])
    hypercorrelation.fastest_product.cache_clear()
    try:
        chosen = hypercorrelation.fastest_product(torch.device("cpu"), torch.float32, 1)
    finally:
        hypercorrelation.fastest_product.cache_clear()
    assert chosen is hypercorrelation.by_convolution
