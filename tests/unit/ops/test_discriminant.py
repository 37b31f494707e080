"""The linear discriminant of the examples' pixels, against scikit-learn's and by its properties."""

import numpy as np
import pytest

from likewise.ops.discriminant import (
    RIDGE,
    class_odds,
    discriminant_odds,
    learn_class,
    learn_discriminant,
    misfit,
    own_odds,
)
from likewise.ops.prototypes import SupportStatistics, log_odds, merge_statistics, support_statistics


def example(seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of 8 x 8 positions whose left half is the object."""
    random = np.random.default_rng(seed)
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    features = random.normal(size=(5, 8, 8)).astype(np.float32) + shift
    features[0, mask] += 3
    features[1] += 2
    return features, mask


def learned(*examples: tuple[np.ndarray, np.ndarray]) -> SupportStatistics:
    each = [support_statistics(features, mask, ~mask) for features, mask in examples]
    return SupportStatistics(*(np.stack([np.asarray(part) for part in parts]) for parts in zip(*each, strict=True)))


def merged(*examples: tuple[np.ndarray, np.ndarray]) -> SupportStatistics:
    return merge_statistics(learned(*examples))


def unit(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1)
    return flat / np.linalg.norm(flat, axis=0)


def test_in_the_examples_own_scene_the_odds_are_those_of_scikit_learn():
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    features, mask = example(0)
    x, y = unit(features).T, mask.ravel()
    within = sum(np.cov(x[y == side].T, bias=True) * (y == side).mean() for side in (False, True))
    estimator = _Fixed(within + RIDGE * np.trace(within) / 5 * np.eye(5))
    fitted = analysis.LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=estimator).fit(x, y)
    one = learn_discriminant(merged((features, mask)))
    np.testing.assert_allclose(misfit(unit(features), one), 1, atol=0.05)
    np.testing.assert_allclose(
        discriminant_odds(features, one).ravel() * misfit(unit(features), one),
        fitted.decision_function(x),
        rtol=1e-3,
        atol=1e-3,
    )


class _Fixed:
    """scikit-learn asks for the covariance of each side; both get the same."""

    def __init__(self, covariance: np.ndarray) -> None:
        self.covariance_ = covariance

    def fit(self, _: np.ndarray) -> "_Fixed":
        return self


def test_in_another_scene_the_discriminant_says_less():
    one = learn_discriminant(merged(example(0)))
    near = example(1)[0]
    far = near[::-1]
    assert misfit(unit(far), one) > 2 * misfit(unit(near), one)


def test_the_misfit_of_many_positions_is_that_of_evenly_spaced_ones():
    one = learn_discriminant(merged(example(0)))
    few = unit(example(1)[0])
    assert misfit(np.repeat(few, 8, axis=1), one) == pytest.approx(misfit(few, one), rel=1e-5)


def test_more_examples_fit_more_scenes():
    examples = [example(seed, shift=seed / 2) for seed in range(6)]
    query = unit(example(9, shift=1.2)[0])
    assert misfit(query, learn_discriminant(merged(*examples))) < misfit(query, learn_discriminant(merged(examples[0])))


def test_examples_without_background_leave_the_answer_to_the_prototypes():
    features, mask = example(0)
    statistics = support_statistics(features, mask, np.zeros_like(mask))
    shots = SupportStatistics(*(np.asarray(part)[None] for part in statistics))
    own = learn_class(shots)
    assert own.discriminant is None
    np.testing.assert_array_equal(class_odds(features, own), log_odds(features, own.prototypes))


def test_both_readings_are_summed():
    own = learn_class(learned(example(0), example(1)))
    query = example(2)[0]
    np.testing.assert_allclose(
        class_odds(query, own), log_odds(query, own.prototypes) + discriminant_odds(query, own.discriminant), rtol=1e-6
    )


def test_statistics_of_no_image_give_no_discriminant():
    variance = 0.75
    squares = np.diag([2 * variance + RIDGE * variance, -RIDGE * variance])  # singular with the ridge
    statistics = SupportStatistics(
        np.zeros((2, 2)), np.zeros((2, 2)), np.array([0.5, 0.5]), squares, np.array([0.7, 0.7])
    )
    assert learn_discriminant(statistics) is None


def test_the_images_own_discriminant_of_sure_positions_is_that_of_scikit_learn():
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    features, mask = example(0)
    guess = np.where(mask, 30, -30).astype(np.float32)
    x, y = unit(features).T, mask.ravel()
    within = sum(np.cov(x[y == side].T, bias=True) * (y == side).mean() for side in (False, True))
    estimator = _Fixed(within + RIDGE * np.trace(within) / 5 * np.eye(5))
    fitted = analysis.LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=estimator).fit(x, y)
    np.testing.assert_allclose(own_odds(features, guess).ravel(), fitted.decision_function(x), rtol=1e-3, atol=1e-3)


def test_the_images_own_discriminant_corrects_a_guess_that_is_wrong_in_places():
    features, mask = example(0)
    features[0, mask] += 6
    wrong = mask.copy()
    wrong[3:5, 3:5] ^= True
    found = own_odds(features, np.where(wrong, 3, -3).astype(np.float32)) > 0
    assert (found == mask).mean() > (wrong == mask).mean()


def test_doubtful_positions_do_not_teach():
    features, mask = example(0)
    guess = np.where(mask, 3, -3).astype(np.float32)
    guess[:, 3:5] = 0.5
    replaced = features.copy()
    replaced[:, :, 3:5] = np.random.default_rng(1).normal(size=(5, 8, 2))
    sure = np.abs(guess) > 1
    np.testing.assert_allclose(own_odds(features, guess)[sure], own_odds(replaced, guess)[sure], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("guess", [np.full((8, 8), -5.0), np.full((8, 8), 5.0), np.full((8, 8), 0.3)])
def test_a_guess_without_sure_object_and_background_says_nothing(guess):
    assert not own_odds(example(0)[0], guess.astype(np.float32)).any()


def test_features_that_do_not_vary_say_nothing_wrong():
    guess = np.where(example(0)[1], 3, -3).astype(np.float32)
    assert np.isfinite(own_odds(np.ones((5, 8, 8), np.float32), guess)).all()
    assert np.isfinite(own_odds(np.zeros((5, 8, 8), np.float32), guess)).all()
