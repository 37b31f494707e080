"""The vote against the published program, and the other merges of shots and classes against hand-computed cases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.ops import shots


@pytest.mark.parametrize(
    "case", ["random", "none", "only_one_shot", "max_4_tie_at_2", "max_2_tie_at_1", "max_5_no_tie", "batch"]
)
def test_the_vote_divides_by_the_most_votes_found_in_each_image(case, golden):
    _, arrays = golden("hsnet_resnet50_vote")
    final = shots.vote(arrays[f"forced_{case}_masks"].astype(bool))
    np.testing.assert_array_equal(final, arrays[f"forced_{case}_final"].astype(bool))


def test_mean_probability_averages_the_shots():
    logits = np.array([[0.0, 0.0], [0.0, math.log(3)]], np.float32).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(shots.mean_probability([*logits], (1, 1)), [[(0.5 + 0.75) / 2]])


def test_logits_are_resized_before_the_softmax():
    logits = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    resized = F.interpolate(torch.from_numpy(logits)[None], size=(11, 9), mode="bilinear", align_corners=False)
    found = shots.mean_probability([logits], (11, 9))
    np.testing.assert_allclose(found, resized.softmax(dim=1)[0, 1].numpy(), atol=1e-6)


def test_competing_classes_share_one_background():
    alone = np.array([0.75, 0.9, 0.2], np.float32).reshape(3, 1, 1)
    shared = shots.compete(alone)[:, 0, 0]
    odds = np.array([1.0, 3.0, 9.0, 0.25])
    np.testing.assert_allclose(shared, odds / odds.sum(), rtol=1e-5)


def test_a_single_class_keeps_its_probability():
    alone = np.random.default_rng(0).random((1, 3, 3), np.float32)
    np.testing.assert_array_equal(shots.compete(alone)[1:], alone)


def test_a_pixel_below_one_half_in_every_class_is_background():
    assert shots.compete(np.array([0.49, 0.3], np.float32).reshape(2, 1, 1)).argmax(axis=0).item() == 0
