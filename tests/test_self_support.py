import torch

from likewise.self_support import LEAST, SURE, with_query


def planes(*values: float) -> torch.Tensor:
    """Probabilities of the background and of the foreground, one position after the other."""
    foreground = torch.tensor(values)[None, None, None]
    return torch.cat([1 - foreground, foreground], dim=1)


def test_the_query_counts_as_one_more_shot():
    features = torch.zeros(1, 2, 1, 4)
    features[0, 0], features[0, 1] = torch.tensor([1.0, 3.0, 5.0, 7.0]), 1.0
    moved = with_query(features, torch.zeros(1, 2, 2), planes(0.9, 0.88, 0.7, 0.1), shots=3)
    # foreground: the two positions over 0.85; background: the one over 0.6
    torch.testing.assert_close(moved[0, 1], torch.tensor([2.0, 1.0]) / 4)
    torch.testing.assert_close(moved[0, 0], torch.tensor([7.0, 1.0]) / 4)


def test_more_shots_leave_the_query_less_to_say():
    features, prototypes = torch.randn(1, 3, 4, 4), torch.randn(1, 2, 3)
    probabilities = torch.rand(1, 1, 4, 4)
    probabilities = torch.cat([1 - probabilities, probabilities], dim=1)
    gaps = [(with_query(features, prototypes, probabilities, shots) - prototypes).norm() for shots in (1, 5)]
    torch.testing.assert_close(gaps[0], 3 * gaps[1])


def test_where_nothing_is_sure_the_likeliest_positions_speak():
    values = torch.linspace(0.45, 0.55, 20)
    assert values.max() < min(SURE)
    features = torch.arange(20.0)[None, None, None]
    moved = with_query(features, torch.zeros(1, 2, 1), planes(*values.tolist()), shots=1)
    torch.testing.assert_close(moved[0, 1, 0], torch.arange(20.0)[-LEAST:].mean() / 2)
    torch.testing.assert_close(moved[0, 0, 0], torch.arange(20.0)[:LEAST].mean() / 2)


def test_fewer_positions_than_that_are_all_taken():
    features = torch.tensor([[[[2.0, 4.0]]]])
    moved = with_query(features, torch.zeros(1, 2, 1), planes(0.5, 0.5), shots=1)
    torch.testing.assert_close(moved, torch.full((1, 2, 1), 1.5))
