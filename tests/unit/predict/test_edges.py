"""Refinement of outlines to image edges."""

import numpy as np
import pytest
import torch

from likewise import Example, FewShot
from likewise.predict.edges import refine_edges


def disc(height: int, width: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2


def blurred(mask: np.ndarray, every: int) -> np.ndarray:
    """Background and object probabilities of a network of that stride."""
    plane = torch.from_numpy(mask).float()[None, None]
    coarse = torch.nn.functional.avg_pool2d(plane, every)
    soft = torch.nn.functional.interpolate(coarse, mask.shape, mode="bilinear")[0]
    return torch.cat([1 - soft, soft]).numpy()


def painted(mask: np.ndarray, noise: int = 8) -> np.ndarray:
    generator = np.random.default_rng(0)
    image = np.where(mask[..., None], (200, 60, 40), (60, 120, 180)) + generator.integers(
        -noise, noise, (*mask.shape, 3)
    )
    return image.astype(np.uint8)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("size", [(240, 320), (1500, 1200)])
def test_a_blurred_outline_moves_to_the_edge_of_the_image(size: tuple[int, int]) -> None:
    mask = disc(*size, min(size) / 4)
    before = blurred(mask, min(size) // 10)
    after = refine_edges(before, painted(mask))
    assert iou(before[1] > 0.5, mask) < 0.91
    assert iou(after[1] > 0.5, mask) > 0.94


def test_probabilities_stay_where_the_image_has_no_edge() -> None:
    before = blurred(disc(120, 160, 30), 20)
    after = refine_edges(before, np.full((120, 160, 3), 90, np.uint8))
    assert abs(after - before).mean() < 0.05


def test_refined_probabilities_of_several_classes_sum_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    before = (4 * torch.randn(4, 90, 70, generator=generator)).softmax(dim=0).numpy()
    after = refine_edges(before, painted(disc(90, 70, 20), noise=40))
    assert after.shape == before.shape
    assert after.min() >= 0
    assert np.allclose(after.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2000)])
def test_images_of_any_size_are_refined(size: tuple[int, int]) -> None:
    before = np.full((2, *size), 0.5, np.float32)
    assert np.allclose(refine_edges(before, np.zeros((*size, 3), np.uint8)), before, atol=1e-4)


def test_few_shot_refines_its_probabilities_unless_edges_is_false() -> None:
    image = painted(disc(96, 128, 30))
    own, along = (FewShot(device="cpu", edges=edges) for edges in (False, True))
    example = Example(image, mask=disc(96, 128, 30))
    concept = own.learn(example)
    raw = own.segment(image, concept).probability
    refined = along.segment(image, along.learn(example)).probability
    expected = refine_edges(np.stack([1 - raw, raw]), image)[1]
    assert abs(refined - expected).max() < 1e-4
    assert abs(refined - raw).max() > 0.01
