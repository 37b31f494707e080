"""The vote against the published program, and the other merges of shots and classes against hand-computed cases."""

import math

import numpy as np
import pytest
import torch

from likewise.ops import shots


@pytest.mark.parametrize(
    "case", ["random", "none", "only_one_shot", "max_4_tie_at_2", "max_2_tie_at_1", "max_5_no_tie", "batch"]
)
def test_the_vote_divides_by_the_most_votes_found_in_each_image(case, golden):
    _, arrays = golden("hsnet_resnet50_vote")
    final = shots.vote(torch.from_numpy(arrays[f"forced_{case}_masks"]).bool())
    np.testing.assert_array_equal(final.numpy(), arrays[f"forced_{case}_final"].astype(bool))


def test_mean_probability_averages_the_shots():
    logits = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]]]).reshape(1, 2, 2, 1, 1)
    torch.testing.assert_close(shots.mean_probability(logits), torch.tensor([[[(0.5 + 0.75) / 2]]]))


def test_competing_classes_share_one_background():
    alone = torch.tensor([0.75, 0.9, 0.2]).reshape(1, 3, 1, 1)
    shared = shots.compete(alone)[0, :, 0, 0]
    odds = torch.tensor([1.0, 3.0, 9.0, 0.25])
    torch.testing.assert_close(shared, odds / odds.sum())


def test_a_single_class_keeps_its_probability():
    alone = torch.rand(2, 1, 3, 3)
    torch.testing.assert_close(shots.compete(alone)[:, 1:], alone)


def test_a_pixel_below_one_half_in_every_class_is_background():
    labels = shots.compete(torch.tensor([0.49, 0.3]).reshape(1, 2, 1, 1)).argmax(dim=1)
    assert labels.item() == 0
