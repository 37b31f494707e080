"""Look once for what, again for where."""

import numpy as np
import pytest

from likewise import Example, FewShot
from likewise.errors import ConceptError, ModelError
from likewise.predict.second_look import PREFIX, doubtful_box, look_again, mean_of_looks
from support.scenes import scene


@pytest.fixture(scope="module", params=["prototypes-lite0", "panet-lite0"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_box_holds_all_that_may_be_object_and_a_margin():
    odds = np.full((10, 20), -5, np.float32)
    odds[4:6, 8:12] = 1
    top, bottom, left, right = doubtful_box(odds, (20, 40))
    assert (top, bottom, left, right) == (6, 14, 14, 26)
    odds[0, 0] = -1.5
    assert doubtful_box(odds, (20, 40))[::2] == (0, 0)


def test_the_box_holds_the_most_probable_position_where_nothing_may_be_object():
    odds = np.full((10, 20), -9, np.float32)
    odds[9, 19] = -8
    assert doubtful_box(odds, (10, 20)) == (8, 10, 18, 20)


def test_the_second_look_counts_inside_of_the_box_only():
    planes = np.full((2, 4, 6), -3, np.float32)
    planes[:, 1:3, 2:4] = 2
    seen = []

    def taps_of(part: np.ndarray) -> np.ndarray:
        seen.append(part.shape)
        return np.full((5, part.shape[0] // 16, part.shape[1] // 16), 7, np.float32)

    def answer(features: np.ndarray, first: np.ndarray) -> np.ndarray:
        assert features.shape[1:] == first.shape[1:]
        return mean_of_looks(first, features[:2])

    image = np.zeros((8 * 32, 12 * 32, 3), np.uint8)
    both = look_again(planes, planes.max(axis=0), image, taps_of, answer, multiple=32)
    assert both.shape == (2, 16, 24)
    assert seen == [(8 * 32, 8 * 32, 3)]
    assert np.allclose(both[:, 8, 12], 0.25 * 2 + 0.75 * 7)
    assert np.allclose(both[:, :, :3], -3)
    assert (both > 0).any(axis=0).sum() > 4 * 4


def test_a_small_object_has_a_closer_outline(name):
    rows, columns = np.mgrid[:300, :400]
    examples, queries = [], []
    for at, made in (((90, 120), examples), ((200, 260), queries)):
        mask = (rows - at[0]) ** 2 + (columns - at[1]) ** 2 < 22**2
        noise = np.random.default_rng(at[0]).integers(-12, 12, (300, 400, 3))
        made.append((np.where(mask[..., None], (210, 60, 50), (60, 120, 70)) + noise).astype(np.uint8))
        made.append(mask)
    found = {}
    for quality in ("fast", "balanced"):
        few_shot = FewShot(name, quality=quality, edges=False)
        mask = few_shot.segment(queries[0], few_shot.learn(Example(examples[0], mask=examples[1]))).mask
        found[quality] = (mask & queries[1]).sum() / (mask | queries[1]).sum()
    assert found["balanced"] > found["fast"]


def test_a_concept_serves_both_qualities(name):
    concept = FewShot(name, quality="fast").learn(Example(*scene()))
    balanced = FewShot(name)
    assert balanced.quality == "balanced"
    assert balanced.settings["quality"] == "balanced"
    assert concept == balanced.learn(Example(*scene()))


def test_a_concept_of_an_older_version_serves_fast_alone(name):
    few_shot = FewShot(name)
    concept = few_shot.learn(Example(*scene()))
    for row in [row for row in concept.rows if row.startswith(PREFIX)]:
        concept.rows.pop(row)
    with pytest.raises(ConceptError, match="balanced"):
        few_shot.prepare(concept)
    fast = FewShot(name, quality="fast")
    assert fast.segment(scene()[0], concept).mask.any()
    merged = concept.merged(few_shot.learn(Example(*scene(seed=1))))
    assert not any(row.startswith(PREFIX) for row in merged.rows)
    fast.prepare(merged)


def test_an_unknown_quality_is_refused():
    with pytest.raises(ModelError, match="finest"):
        FewShot(quality="finest")


def test_an_absent_class_gets_no_second_look(name):
    few_shot = FewShot(name, presence=1.0)
    segment = few_shot.prepare(few_shot.learn(Example(*scene())))
    few_shot.head.extractor.levels = None  # type: ignore[method-assign, assignment]
    assert not segment(scene()[0]).mask.any()


def test_at_the_second_look_the_statistics_of_both_sizes_count_the_same():
    image, mask = scene()
    small, large = (FewShot(side=side, quality="fast") for side in (320, 640))
    (own,), (finer,) = (each.head.prepare(each.learn(Example(image, mask=mask))).own for each in (small, large))
    prepared = small.head.prepare(small.learn(Example(image, mask=mask)))
    mean = (own.discriminant.means + finer.discriminant.means) / 2
    np.testing.assert_allclose(prepared.finer[0].discriminant.means, mean, atol=2e-3)
    assert np.array_equal(prepared.own[0].discriminant.means, own.discriminant.means)


def test_the_most_probable_position_counts_however_improbable_it_is():
    for least in (-40.0, -1e7):
        odds = np.full((4, 6), 2 * least, np.float32)
        odds[1, 2] = least
        top, bottom, left, right = doubtful_box(odds, (4, 6))
        assert top <= 1 < bottom
        assert left <= 2 < right
