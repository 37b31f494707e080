"""`ResizedFeatures` against features that are really resized."""

import pytest
import torch
import torch.nn.functional as F

from likewise.ops.resized_features import ResizedFeatures

SIZES = [((3, 5), (17, 40)), ((4, 4), (4, 4)), ((6, 7), (5, 3)), ((1, 4), (9, 8)), ((2, 1), (5, 1))]


def made(size_in, size_out):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, *size_in, generator=generator, dtype=torch.float64)
    resized = F.interpolate(features[None], size=size_out, mode="bilinear", align_corners=False)[0]
    return features, resized, ResizedFeatures(size_in, size_out, like=features), generator


@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_the_squared_norm_is_that_of_the_resized_features(size_in, size_out):
    features, resized, virtual, _ = made(size_in, size_out)
    torch.testing.assert_close(virtual.squared_norm(features), resized.square().sum(dim=0))


@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_each_pixel_reads_the_resized_plane_of_its_row(size_in, size_out):
    features, resized, virtual, generator = made(size_in, size_out)
    row = torch.randint(0, len(features), size_out, generator=generator)
    found = virtual.at_pixels(features.flatten(1), row)
    torch.testing.assert_close(found, resized.gather(0, row[None])[0])


@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_a_weighted_sum_of_pixels_equals_a_sum_of_features_with_transposed_weights(size_in, size_out):
    features, resized, virtual, generator = made(size_in, size_out)
    weight = torch.rand(size_out, generator=generator, dtype=torch.float64)
    row = torch.randint(0, 3, size_out, generator=generator)
    found = virtual.transposed(weight, row, 3) @ features.flatten(1).T
    expected = torch.stack([(resized * weight * (row == index)).sum(dim=(1, 2)) for index in range(3)])
    torch.testing.assert_close(found, expected)
