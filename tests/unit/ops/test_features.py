"""Each operation against a slow, obvious loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.ops.features import cosine_similarity, masked_average_pool, resize, resize_matrix


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("before", "after"), [(5, 13), (13, 5), (7, 7), (1, 4), (4, 1)])
def test_resize_matrix_resizes_as_resize_does(before, after, align_corners):
    plane = torch.randn(2, 3, before, 6, dtype=torch.float64)
    rows = resize_matrix(before, after, align_corners=align_corners, like=plane)
    columns = resize_matrix(6, 9, align_corners=align_corners, like=plane)
    expected = resize(plane, (after, 9), align_corners=align_corners)
    torch.testing.assert_close(rows @ plane @ columns.T, expected)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 23), st.integers(1, 23)),
    st.booleans(),
)
def test_pooling_equals_resizing_the_features_and_looping_over_the_mask(plane, size, align_corners):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, *plane, dtype=torch.float64, generator=generator)
    mask = (torch.rand(2, *size, dtype=torch.float64, generator=generator) > 0.5).double()
    pooled = masked_average_pool(features, mask, align_corners=align_corners)
    large = F.interpolate(features, size=size, mode="bilinear", align_corners=align_corners)
    for image in range(2):
        total, count = torch.zeros(3, dtype=torch.float64), 0.0
        for row in range(size[0]):
            for column in range(size[1]):
                total += large[image, :, row, column] * mask[image, row, column]
                count += mask[image, row, column].item()
        torch.testing.assert_close(pooled[image], total / (count + 1e-5))


def test_pooling_under_an_empty_mask_gives_zero():
    pooled = masked_average_pool(torch.randn(1, 4, 3, 5), torch.zeros(1, 9, 7), align_corners=False)
    assert pooled.abs().max() == 0


def test_pooling_passes_a_gradient_to_the_features():
    features = torch.randn(1, 2, 3, 4, requires_grad=True)
    masked_average_pool(features, torch.ones(1, 6, 8), align_corners=True).sum().backward()
    assert features.grad.sum().item() == pytest.approx(2, rel=1e-4)


def test_cosine_similarity_equals_the_loop_over_positions():
    features, prototypes = torch.randn(2, 5, 3, 4), torch.randn(2, 3, 5)
    cosine = cosine_similarity(features, prototypes)
    for image in range(2):
        for prototype in range(3):
            for row in range(3):
                for column in range(4):
                    x, p = features[image, :, row, column], prototypes[image, prototype]
                    expected = (x @ p).item() / math.sqrt((x @ x).item() * (p @ p).item())
                    assert cosine[image, prototype, row, column].item() == pytest.approx(expected, abs=1e-6)


def test_cosine_similarity_with_a_zero_vector_is_zero_and_not_nan():
    assert (cosine_similarity(torch.zeros(1, 4, 2, 2), torch.randn(1, 2, 4)) == 0).all()
    assert (cosine_similarity(torch.randn(1, 4, 2, 2), torch.zeros(1, 2, 4)) == 0).all()
